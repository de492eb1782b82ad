"""The public object: a loaded model with its adapters, text or token ids in, text and token ids out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from mindcold import decoding
from mindcold.adapter import Adapter
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.constraints import ConstraintError, ConstraintSet, Vocabulary, parse_constraint
from mindcold.decoding.options import is_token
from mindcold.decoding.roller import Guesses, ModelRoller, Roller, TrigramRoller
from mindcold.drafting import DRAFTS, Budget, StepCost, TrigramDrafter, TrigramTables
from mindcold.drafting.trigram import MEMORY
from mindcold.engine import Engine, StepPlan
from mindcold.engine.engine import ROW_BUCKETS, row_bucket
from mindcold.errors import AdapterError, RequestError
from mindcold.model import Weights
from mindcold.model_zoo import path as zoo_path
from mindcold.ops.lora_linear import DTYPES
from mindcold.output import Token, output_of
from mindcold.tokenizer import Detokenizer, Tokenizer

BASE = "base"
"""Adapter name that means the base model alone."""

Prompt = Any
"""A text, a list of token ids, or a list of chat messages ({"role", "content"})."""


class Streamer(Protocol):
    """What `transformers` and MindFormers call a streamer."""

    def put(self, value: Any) -> None: ...

    def end(self) -> None: ...


def load(
    model: str | Path,
    adapter: str | Path | None = None,
    *,
    dtype: str = "auto",
    backend: str = "auto",
    max_batch: int = 8,
    draft_memory: float = MEMORY,
) -> "LLM":
    """Load a HuggingFace model folder (or a model of the zoo) and, if given, a PEFT adapter folder for it.

    `dtype` is how the base weights are kept: "float32", "bfloat16" or "int8" (per-output scales); "auto" is bfloat16
    for a checkpoint stored in it, which loses nothing, else float32. Sums and activations are float32 in all of them.
    `backend` picks the body of the operators ("auto", "aot", "builtin"), `max_batch` how many prompts of one call run
    together, `draft_memory` the megabytes of each table of trigrams. Raises ModelError, AdapterError, TokenizerError or
    RequestError in one line naming the file and the field.
    """
    if dtype not in ("auto", *DTYPES):
        raise RequestError(f"dtype: {dtype!r} is not one of auto, {', '.join(DTYPES)}")
    if not isinstance(max_batch, int) or not 1 <= max_batch <= ROW_BUCKETS[-1] // 2:
        raise RequestError(f"max_batch: an integer from 1 to {ROW_BUCKETS[-1] // 2} is expected, found {max_batch!r}")
    if isinstance(draft_memory, bool) or not isinstance(draft_memory, (int, float)) or not 0.001 <= draft_memory <= 1e5:
        raise RequestError(f"draft_memory: megabytes, from 0.001 to 100000, are expected, found {draft_memory!r}")
    llm = LLM(find_folder(model), dtype, backend, max_batch, draft_memory)
    if adapter is not None:
        llm.add_adapter("default", adapter)
    return llm


def find_folder(name: str | Path) -> Path:
    """A folder as it is, else the folder of the zoo model of that name."""
    folder = Path(name)
    return folder if folder.exists() else zoo_path(str(name))


class LLM:
    """A model ready to decode; made by `load`."""

    def __init__(self, folder: Path, dtype: str, backend: str, max_batch: int, draft_memory: float = MEMORY):
        self.folder, self.max_batch = folder, max_batch
        self.config = ModelConfig.from_folder(folder)
        self.tokenizer = Tokenizer(folder) if Tokenizer.exists(folder) else None
        checkpoint = Checkpoint(folder, self.config)
        if dtype == "auto":
            dtype = "bfloat16" if checkpoint.stored_dtype == "BF16" else "float32"
        self.dtype = dtype
        self._backend, self._draft_memory = backend, draft_memory
        self.trigrams: TrigramTables
        """What the trigram drafter has learned, of all adapters."""
        self.forget_drafts()
        self._drafts: dict[str, Engine] = {}
        self._costs: dict[object, StepCost] = {}
        self._budgets: dict[object, Budget] = {}
        self.engine = Engine(self.config, Weights(checkpoint, dtype, backend), backend)

    def forget_drafts(self) -> None:
        """Let drafters start anew, as after loading."""
        self.trigrams = TrigramTables(self.config.vocab_size, backend=self._backend, memory=self._draft_memory)

    @property
    def adapters(self) -> list[str]:
        """Names of the live adapters, in the order they were added."""
        return [adapter.name for adapter in self.engine.adapters]

    def seed_drafts(self, texts: Iterable[Prompt]) -> None:
        """Fill the trigram table all adapters share from texts (or token ids) like those to be written.

        A text is taken to be whole, end-of-text follows it; token ids are taken as they are.
        """
        end = list(self.config.eos_token_ids[:1])
        self.trigrams.seed(
            self._encode(text, f"text {i}: ", bounded=False) + (end if isinstance(text, str) else [])
            for i, text in enumerate(texts)
        )

    def save_drafts(self, path: str | Path) -> None:
        """Write what the trigram drafter has learned to a safetensors file."""
        self.trigrams.save(path)

    def load_drafts(self, path: str | Path) -> None:
        """Go on with what `save_drafts` wrote; RequestError for another model's or adapter's, and for damage."""
        self.trigrams.load(path, [BASE, *self.adapters])

    def add_adapter(self, name: str, path: str | Path) -> None:
        """Load one more PEFT adapter under a name; AdapterError says what is wrong with it."""
        if name == BASE or name in self.adapters:
            raise AdapterError(f"adapter name {name!r} is taken; choose another")
        self.engine.add_adapter(Adapter.from_folder(find_folder(path), self.config, name))

    def generate(
        self,
        prompt: Prompt,
        method: str = "greedy",
        *,
        adapter: str | Sequence[str | None] | None = None,
        streamer: Streamer | None = None,
        progress: bool = False,
        **options: Any,
    ) -> Any:
        """Decode one prompt to an Output, or a list of prompts together to a list of Outputs.

        A prompt is a text, a list of token ids or a list of chat messages. `adapter` is a name, "base" for none, or
        one per prompt; the default is the adapter given to `load`. Keywords are those of `mindcold.decoding.Options`.
        Raises RequestError before any work for what cannot be decoded.
        """
        prompts, single = self._prompts(prompt)
        if streamer is not None and not single:
            raise RequestError("streamer: only one prompt at a time can be streamed")
        requests = self.requests(prompts, method, adapter, options)
        texts = [""] * len(requests)
        with tqdm(total=len(requests), unit="prompt", disable=not progress or None) as bar:
            if streamer is not None:
                streamer.put(np.array(requests[0].prompt))
            for request, token in self._decode(requests):
                texts[request.index] += token.text
                if streamer is not None:
                    streamer.put(np.array([token.id]))
                bar.update(request.finish_reason is not None)
            if streamer is not None:
                streamer.end()
        for request in requests:
            if request.constraint and not request.error:
                request.measure()
        if single and requests[0].error:
            raise ConstraintError(requests[0].error)
        outputs = [output_of(request, text) for request, text in zip(requests, texts, strict=True)]
        return outputs[0] if single else outputs

    def stream(
        self, prompt: Prompt, method: str = "greedy", *, adapter: str | None = None, **options: Any
    ) -> Iterator[Token]:
        """Decode one prompt token by token; keywords as for `generate`. The request is checked at the call."""
        prompts, single = self._prompts(prompt)
        if not single:
            raise RequestError("prompt: only one prompt at a time can be streamed")
        requests = self.requests(prompts, method, adapter, options)
        return (token for _, token in self._decode(requests))

    def logits(self, ids: Sequence[int], adapter: str | None = None, chunk: int = 256) -> np.ndarray:
        """Logits at every position of a list of token ids, float32 [len(ids), vocab], `chunk` positions per step."""
        prompt, number = self._ids(ids), self._adapter_id(adapter)
        if not isinstance(chunk, int) or not 1 <= chunk <= ROW_BUCKETS[-1]:
            raise RequestError(f"chunk: an integer from 1 to {ROW_BUCKETS[-1]} is expected, found {chunk!r}")
        self.engine.reserve(self.engine.used_cells + len(prompt))
        slot = self.engine.open(len(prompt), number)
        assert slot is not None
        try:
            parts = []
            for i in range(0, len(prompt), chunk):
                plan = StepPlan()
                plan.extend(slot, prompt[i : i + chunk])
                parts.append(self.engine.logits(plan, row_bucket(min(chunk, len(prompt)))))
                self.engine.commit(slot, len(plan.rows))
            return np.concatenate(parts)
        finally:
            self.engine.close(slot)

    def _decode(self, requests: list[decoding.Request]) -> Iterator[tuple[decoding.Request, Token]]:
        """Tokens of the requests with their text; ends a request whose text has reached a stop string."""
        writers = [Detokenizer(self.tokenizer) for _ in requests]
        tails = [""] * len(requests)
        for request, token, logprob, from_draft in decoding.decode(self.engine, requests, self.max_batch):
            i, stops = request.index, request.options.stops
            text = writers[i].push(token, last=request.finish_reason is not None)
            if stops:
                tail = tails[i] + text
                end = _stop_end(tail, stops)
                if end is not None:
                    text = text[: len(text) - (len(tail) - end)]
                    request.finish("stop")
                tails[i] = tail[-max(map(len, stops)) :]
            yield request, Token(token, text, logprob, from_draft)

    def _prompts(self, prompt: Prompt) -> tuple[list[list[int]], bool]:
        """Token ids of each prompt, and whether it was one prompt rather than a list of prompts."""
        if isinstance(prompt, str) or not isinstance(prompt, (Sequence, np.ndarray)) or not len(prompt):
            return [self._encode(prompt)], True
        if all(isinstance(item, dict) for item in prompt) or all(hasattr(item, "__index__") for item in prompt):
            return [self._encode(prompt)], True
        return [self._encode(item, f"prompt {i}: ") for i, item in enumerate(prompt)], False

    def _encode(self, prompt: Prompt, where: str = "prompt: ", bounded: bool = True) -> list[int]:
        is_chat = isinstance(prompt, list) and bool(prompt) and all(isinstance(item, dict) for item in prompt)
        if isinstance(prompt, str) or is_chat:
            if self.tokenizer is None:
                raise RequestError(f"{where}{self.folder} has no tokenizer; give token ids")
            prompt = self.tokenizer.encode(prompt) if isinstance(prompt, str) else self.tokenizer.chat(prompt)
        return self._ids(prompt, where, bounded)

    def _ids(self, ids: Any, where: str = "prompt: ", bounded: bool = True) -> list[int]:
        """Checked token ids of one text, which has to fit the model unless it is not for it."""
        if not isinstance(ids, (Sequence, np.ndarray)) or isinstance(ids, (str, bytes)):
            raise RequestError(f"{where}a text, token ids or chat messages are expected, found {type(ids).__name__}")
        if not len(ids):
            raise RequestError(f"{where}empty; give at least one token")
        for item in ids:
            if not is_token(item, self.config.vocab_size):
                raise RequestError(f"{where}{item!r} is not a token id below vocab_size {self.config.vocab_size}")
        limit = self.config.max_position_embeddings
        if bounded and len(ids) > limit:
            raise RequestError(f"{where}{len(ids)} tokens do not fit the model's max_position_embeddings {limit}")
        return [int(item) for item in ids]

    def requests(
        self, prompts: list[list[int]], method: str, adapter: Any, keywords: dict[str, Any]
    ) -> list[decoding.Request]:
        """Checked requests of one call, not decoded yet."""
        options = decoding.Options.of(keywords)
        if options.stops and self.tokenizer is None:
            raise RequestError(f"stop_strings: {self.folder} has no tokenizer; use eos_token_id")
        built = decoding.build(method, options)
        eos = options.eos(self.config.eos_token_ids, self.config.vocab_size)
        shared, own = parse_constraint(options.constraint), options.constraints
        if own is not None and (not isinstance(own, (list, tuple)) or len(own) != len(prompts)):
            raise RequestError(f"constraints: a list of one for each of {len(prompts)} prompts is expected")
        if built.search and (options.do_sample or options.repetition_penalty != 1.0):
            raise RequestError(f"method: {method!r} takes no do_sample and no repetition_penalty")
        if built.search and not built.ahead and options.draft not in (None, "none"):
            raise RequestError(f"draft: method {method!r} takes none")
        if not built.ahead and options.draft not in (None, *DRAFTS):
            raise RequestError(f"draft: {options.draft!r} is not one of {', '.join(DRAFTS)}")
        names = adapter if isinstance(adapter, (list, tuple)) else [adapter] * len(prompts)
        if len(names) != len(prompts):
            raise RequestError(f"adapter: {len(names)} names for {len(prompts)} prompts")
        requests = []
        for i, (prompt, name) in enumerate(zip(prompts, names, strict=True)):
            number = self._adapter_id(name)
            if built.contrast and not self.adapters:
                raise RequestError(f"method: {method!r} contrasts an adapter with the base; give an adapter to load")
            room = self.config.max_position_embeddings - len(prompt)
            if room < 1:
                raise RequestError(
                    f"prompt {i}: {len(prompt)} tokens fill the model's max_position_embeddings "
                    f"{self.config.max_position_embeddings}; no room for a new token"
                )
            budget = min(options.max_new_tokens, room)
            request = decoding.Request(i, prompt, built, options, number, eos, budget)
            constraints = shared + parse_constraint(own[i] if own else None)
            if built.ahead or constraints:
                vocabulary = Vocabulary(self.tokenizer, self.config.vocab_size, eos)
                request.constraint = ConstraintSet.start(constraints, vocabulary)
                request.masked = request.constraint.allowed() is not None
                request.cumulative = any(item.cumulative for item in constraints)
            if built.ahead:
                key = self.trigrams.key(BASE if number < 0 else self.adapters[number], "plain")
                request.guess = Guesses(self.trigrams, key)
                request.make_roller = self._roller(request, options.draft or built.draft, key)
            elif (options.draft or built.draft) == "trigram":
                together = min(len(prompts), self.max_batch)
                cost = self._costs.setdefault((built.streams, built.sampled, together), StepCost())
                score = f"alpha {options.alpha} beta {options.beta}" if built.contrast else "plain"
                table = self.trigrams.key(BASE if number < 0 else self.adapters[number], score)
                request.drafter = TrigramDrafter(self.trigrams, table, options.search, options.adaptation)
                request.draft_budget = self._budgets.setdefault((table, built.sampled, together), Budget(cost))
            requests.append(request)
        return requests

    def _roller(self, request: decoding.Request, draft: str, key: str) -> Callable[[int], Roller] | None:
        """What looks ahead for a request: the base, the trigrams, or another model of the same vocabulary."""
        ahead = request.method.ahead
        if ahead is None or not ahead.speculative:
            return None
        if draft in DRAFTS:
            if draft == "none":
                raise RequestError("draft: 'cdsl' needs one: base, trigram or a model folder")
            return lambda size: TrigramRoller(self.trigrams, key, request.eos)
        engine = self.engine if draft == BASE else self._draft_engine(draft)
        guesses = Guesses(self.trigrams, key)
        return lambda size: ModelRoller(engine, -1, request.eos, size, ahead.candidates, guesses)

    def _draft_engine(self, name: str) -> Engine:
        """The engine of a draft model, loaded once; RequestError for one of another vocabulary."""
        if name not in self._drafts:
            folder = find_folder(name)
            config = ModelConfig.from_folder(folder)
            if config.vocab_size != self.config.vocab_size:
                raise RequestError(
                    f"draft: {folder}: vocab_size is {config.vocab_size}, but the model has {self.config.vocab_size}"
                )
            self._drafts[name] = Engine(
                config, Weights(Checkpoint(folder, config), self.dtype, self._backend), self._backend
            )
        return self._drafts[name]

    def _adapter_id(self, name: str | None) -> int:
        """Id of a live adapter; None means the first one, or the base where there is none."""
        if name == BASE or (name is None and not self.adapters):
            return -1
        if name is None:
            return 0
        if name not in self.adapters:
            known = ", ".join([BASE, *self.adapters])
            raise RequestError(f"adapter: {name!r} is not loaded; known are {known}")
        return self.adapters.index(name)


def _stop_end(text: str, stops: Sequence[str]) -> int | None:
    """Where the earliest stop string in `text` ends, or None."""
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    return min(ends) if ends else None
