"""The public object: a loaded model with its adapters, text or token ids in, text and token ids out."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from tqdm import tqdm

from mindcold import values
from mindcold.adapter import Adapter
from mindcold.adapter_formats import check_adapter, read_adapter
from mindcold.builder import RequestBuilder
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.decoding import KeptPrompts, RequestState, Scheduler, TokenOutput
from mindcold.decoding_defaults import DecodingDefaults
from mindcold.draft_models import DraftModels
from mindcold.drafting import TrigramTables
from mindcold.drafting.trigram import MEMORY
from mindcold.engine import LOCK, MAX_ROWS, Engine, StepPlan, choose_device
from mindcold.errors import AdapterError, RequestError, shown
from mindcold.model import CausalLMFactory, Weights
from mindcold.model_folder import find_folder
from mindcold.ops.lora_linear import DTYPES
from mindcold.output import Output, Streamer, TextStream, Token, check_streamer, output_of
from mindcold.precisions import Precisions
from mindcold.prompts import PromptEncoder, is_single
from mindcold.request import BASE, Prompt, Request
from mindcold.tokenizer import Tokenizer


def load(
    model: str | Path,
    adapter: str | Path | None = None,
    *,
    dtype: str = "auto",
    backend: str = "auto",
    max_batch: int = 8,
    draft_memory: float = MEMORY,
    prefix_cache: int = 0,
) -> "LLM":
    """Load a HuggingFace model folder (or a model by its name) and, if given, a LoRA adapter for it.

    `dtype` is how the base weights are kept: "float32", "bfloat16" or "int8" (per-output scales); "auto" is bfloat16
    for a checkpoint stored in it, else float32. With bfloat16 the inputs of linear layers, and keys and values, are
    rounded to it too, as in other engines; sums are float32 in all of them, except on Ascend (`mindcold.ops.ascend`).
    Token-exact parity with other libraries is a matter of "float32". `backend` picks the body of the operators
    ("auto", "aot", "single", "akg", "ascend", "triton", "builtin"), `max_batch` how many requests of one call run
    together, `draft_memory` the megabytes of each table of trigrams. `prefix_cache` is how many tokens of prompts stay
    in memory after a call, for later prompts that begin with the same 16 or more (a chat template, earlier turns);
    where a method contrasts, a token counts twice. Raises ModelError, AdapterError, TokenizerError or RequestError in
    one line naming the file and the field.
    """
    if values.text(dtype) not in ("auto", *DTYPES):
        raise RequestError(f"dtype: {shown(dtype)} is not one of auto, {', '.join(DTYPES)}")
    if not values.text(backend):
        raise RequestError(f"backend: the name of a body is expected, found {shown(backend)}")
    together = values.integer_of("max_batch", max_batch, 1, MAX_ROWS // 2)
    megabytes = values.number(draft_memory)
    if megabytes is None or not 0.001 <= megabytes <= 1e5:
        raise RequestError(f"draft_memory: megabytes, from 0.001 to 100000, are expected, found {shown(draft_memory)}")
    kept = values.integer_of("prefix_cache", prefix_cache, 0, 2**24)
    with LOCK:
        choose_device()
        folder = find_folder(model)
        config = ModelConfig.from_folder(folder)
        weights = Weights(Checkpoint(folder, config), dtype, backend)
        engine = Engine(CausalLMFactory(config, weights, backend), backend)
        llm = LLM(folder, config, engine, weights.dtype, backend, together, megabytes, kept)
        if adapter is not None:
            llm.add_adapter("default", adapter)
    return llm


class LLM:
    """A model ready to decode; made by `load`. Its methods may be called from several threads."""

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        engine: Engine,
        dtype: str,
        backend: str = "auto",
        max_batch: int = 8,
        draft_memory: float = MEMORY,
        prefix_cache: int = 0,
    ):
        """An engine with the tokenizer of a folder, if it has one; the other arguments are those of `load`."""
        self.folder, self.config, self.engine, self.dtype, self.max_batch = folder, config, engine, dtype, max_batch
        self.tokenizer = Tokenizer(folder) if Tokenizer.exists(folder) else None
        self._backend, self._draft_memory = backend, draft_memory
        self.trigrams: TrigramTables
        """What the trigram drafter has learned, of all adapters."""
        self.forget_drafts()
        self.kept_prompts = KeptPrompts(prefix_cache)
        """What the prompts of earlier calls have left."""
        self._encoder = PromptEncoder(folder, self.config, self.tokenizer)
        drafts = DraftModels(engine, self.config.vocab_size, dtype, backend)
        self._precisions = Precisions(engine, dtype)
        self.builder = RequestBuilder(self.engine, self.config, self.tokenizer, self._encoder, drafts, self._precisions)

    @property
    def weight_bytes(self) -> dict[str, int]:
        """Memory of the base's matrices by dtype, bytes: the loaded ones, and lower ones once they have been used."""
        return self._precisions.weight_bytes

    @property
    def adapters(self) -> list[str]:
        """Names of the live adapters, in the order they were added."""
        return [adapter.name for adapter in self.engine.adapters]

    def add_adapter(
        self, name: str, path: str | Path | Adapter, *, layout: str | None = None, lora_alpha: float | None = None
    ) -> None:
        """Load one more adapter under a name, with its decoding defaults if `mindcold tune` wrote some beside it.

        It is in any format of `mindcold.adapter_formats.read_adapter`, which says what `layout` and `lora_alpha` are,
        or one in memory. AdapterError says what is wrong with it.
        """
        if not values.text(name):
            raise AdapterError(f"adapter name: a non-empty string is expected, found {shown(name)}")
        if name == BASE or name in self.adapters:
            raise AdapterError(f"adapter name {name!r} is taken; choose another")
        if isinstance(path, Adapter):
            check_adapter(path, self.config, f"adapter {name}")
            self.engine.add_adapter(replace(path, name=name))
            return
        folder = find_folder(path)
        defaults = DecodingDefaults.of_folder(folder)
        self.engine.add_adapter(read_adapter(folder, self.config, name, layout=layout, lora_alpha=lora_alpha))
        self.builder.defaults[name] = defaults

    def decoding_defaults(self, adapter: str | None = None) -> DecodingDefaults:
        """What calls under this adapter decode by where they do not say; `adapter` as for `generate`."""
        return self.builder.defaults_of(self.builder.adapter_id(adapter))

    def forget_drafts(self) -> None:
        """Let drafters start anew, as after loading."""
        self.trigrams = TrigramTables(self.config.vocab_size, backend=self._backend, memory=self._draft_memory)

    def warm_drafts(self, texts: Iterable[Prompt]) -> None:
        """Fill the trigram table all adapters share from texts (or token ids) like those to be written.

        A text is taken to be whole, end-of-text follows it; token ids are taken as they are.
        """
        encode, whole = self._encoder.encode, self._encoder.text
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, Iterable):
            raise RequestError(f"texts: a list of texts is expected, found {shown(texts)}")
        with LOCK:
            self.trigrams.warm(
                whole(text, f"text {i}: ") if isinstance(text, str) else encode(text, f"text {i}: ", bounded=False)
                for i, text in enumerate(texts)
            )

    def save_drafts(self, path: str | Path) -> None:
        """Write what the trigram drafter has learned to a safetensors file."""
        with LOCK:
            self.trigrams.save(path)

    def load_drafts(self, path: str | Path) -> None:
        """Go on with what `save_drafts` wrote; RequestError for another model's or adapter's, and for damage."""
        with LOCK:
            self.trigrams.load(path, [BASE, *self.adapters])

    @overload
    def generate(self, prompt: str | Request | dict[str, Any], method: str | None = ..., **options: Any) -> Output: ...

    @overload
    def generate(self, prompt: Any, method: str | None = ..., **options: Any) -> Any: ...

    def generate(
        self,
        prompt: Any,
        method: str | None = None,
        *,
        adapter: str | Sequence[str | None] | None = None,
        constraints: Sequence[Any] | None = None,
        streamer: Streamer | None = None,
        progress: bool = False,
        **options: Any,
    ) -> Any:
        """Decode one prompt to an Output, or a list of prompts together to a list of Outputs.

        A prompt is a text, a list of token ids, a list of chat messages, or a `Request`, which has a method, an adapter
        and keywords of its own: requests of all kinds share steps. `adapter` is a name, "base" for none, or one per
        prompt; the default is the adapter given to `load`. Without a method the adapter's decoding defaults say it
        (`mindcold.decoding_defaults`), else it is greedy. `constraints` gives each prompt its own. Keywords are those
        of `mindcold.sampling_params.SamplingParams`; one the method has no use for is refused. Raises RequestError
        before any work for what cannot be decoded.
        """
        single = is_single(prompt)
        if streamer is not None:
            check_streamer(streamer, single)
        states = self._states(prompt, method, adapter, constraints, options)
        streams = [self.text_stream(state) for state in states]
        if streamer is not None:
            streamer.put(np.array(states[0].prompt))
        with tqdm(total=len(states), unit="prompt", disable=not progress or None) as bar:
            ended = set[int]()
            for state, token, _, _ in self.run(states):
                if streamer is not None:
                    streamer.put(np.array([token]))
                if state.finish_reason and state.index not in ended:
                    ended.add(state.index)
                    bar.update()
        if streamer is not None:
            streamer.end()
        if single and states[0].error:
            raise states[0].error
        outputs = [output_of(state, stream) for state, stream in zip(states, streams, strict=True)]
        return outputs[0] if single else outputs

    def stream(
        self, prompt: Prompt | Request, method: str | None = None, *, adapter: str | None = None, **options: Any
    ) -> Iterator[Token]:
        """Decode one prompt token by token; keywords as for `generate`. The request is checked at the call.

        A request that fails raises its error after the tokens it has given.
        """
        if not is_single(prompt):
            raise RequestError("prompt: only one prompt at a time can be streamed")
        (state,) = self._states(prompt, method, adapter, None, options)
        return self._tokens(state, self.text_stream(state))

    def _tokens(self, state: RequestState, stream: TextStream) -> Iterator[Token]:
        for _, token, logprob, from_draft in self.run([state]):
            yield Token(token, stream.next(), logprob, from_draft)
        if state.error:
            raise state.error

    def logits(self, ids: Sequence[int], adapter: str | None = None, chunk: int = MAX_ROWS) -> np.ndarray:
        """Logits at every position of a list of token ids, float32 [len(ids), vocab], `chunk` positions per step."""
        rows = values.integer_of("chunk", chunk, 1, MAX_ROWS)
        engine, prompt, number = self.engine, self._encoder.encode(ids), self.builder.adapter_id(adapter)
        with LOCK:
            engine.reserve(engine.used_slots + engine.slots_for(len(prompt)))
            sequence = engine.open([number], len(prompt))
            assert sequence is not None
            try:
                parts = []
                for i in range(0, len(prompt), rows):
                    plan = StepPlan()
                    plan.extend(sequence, prompt[i : i + rows])
                    parts.append(engine.logits(plan))
                    sequence.commit(len(plan.rows))
                return np.concatenate(parts)
            finally:
                sequence.close()

    def run(self, states: list[RequestState]) -> Generator[TokenOutput, None, None]:
        """Tokens of checked requests as they are decided; what they hold is given back at the end or when abandoned."""
        scheduler = Scheduler(self.max_batch, self.kept_prompts)
        for state in states:
            scheduler.add(state)
        try:
            while scheduler.unfinished:
                yield from scheduler.step()
        finally:
            scheduler.close()

    def text_stream(self, state: RequestState) -> TextStream:
        """The text of a request as its tokens come, which also ends it at its stop strings."""
        stream = TextStream(self.tokenizer, state.params.stops)
        state.criterion = stream
        return stream

    def _states(
        self, prompt: Any, method: str | None, adapter: Any, constraints: Sequence[Any] | None, options: dict[str, Any]
    ) -> list[RequestState]:
        """Checked requests of one call, not decoded yet."""
        single = is_single(prompt)
        prompts = [prompt] if single else list(prompt)
        names = list(adapter) if isinstance(adapter, (list, tuple)) else [adapter] * len(prompts)
        if len(names) != len(prompts):
            raise RequestError(f"adapter: {len(names)} names for {len(prompts)} prompts")
        if constraints is not None:
            if not isinstance(constraints, (list, tuple)) or len(constraints) != len(prompts):
                raise RequestError(f"constraints: a list of one for each of {len(prompts)} prompts is expected")
            shared = options.get("constraint")
            own = [[item for item in (shared, mine) if item is not None] or None for mine in constraints]
        requests = []
        for i, item in enumerate(prompts):
            if isinstance(item, Request):
                if method is not None or options or names[i] is not None or constraints is not None:
                    raise RequestError("a Request has a method, an adapter and keywords of its own; give them there")
                requests.append(item)
            else:
                changed = options if constraints is None else options | {"constraint": own[i]}
                requests.append(Request(item, method, adapter=names[i], **changed))
        with LOCK:
            return [
                self.builder.build(i, request, self.trigrams, "prompt: " if single else f"prompt {i}: ")
                for i, request in enumerate(requests)
            ]
