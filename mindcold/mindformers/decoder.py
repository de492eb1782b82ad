"""mindcold for one MindFormers network: its weights handed over to our engine, or the network itself as its network."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mindcold.decoding import RequestState
from mindcold.engine import LOCK, Engine
from mindcold.llm import LLM, load
from mindcold.mindformers.generation import Call, read_call
from mindcold.mindformers.in_place import InPlaceEngine, in_place_engine
from mindcold.mindformers.library import MindFormersError
from mindcold.mindformers.network import NetworkWeights, config_of, unwrapped
from mindcold.mindformers.own_adapter import has_own_adapter, own_adapter
from mindcold.mindformers.streaming import ColumnStreamer
from mindcold.model import CausalLMFactory, Weights
from mindcold.output import Output, output_of


class Decoder:
    """Decodes what a network is asked to generate; weights and adapters are read at the first call."""

    def __init__(
        self,
        network: Any,
        adapters: Mapping[str, str | Path],
        decoding: Mapping[str, Any],
        *,
        model: str | Path | None = None,
        tokenizer: Path | None = None,
        layout: str | None = None,
        lora_alpha: float | None = None,
        dtype: str = "auto",
        operators: str = "auto",
        max_batch: int = 8,
        in_place: bool = False,
    ):
        self.network = network
        self.outputs: list[Output] = []
        """What the last call gave, with its statistics."""
        self._adapters, self._decoding = dict(adapters), dict(decoding)
        self._model, self._tokenizer, self._dtype = model, tokenizer, dtype
        self._operators, self._max_batch, self._in_place = operators, max_batch, in_place
        self._layout, self._lora_alpha = layout, lora_alpha
        self._llm: LLM | None = None
        self._own = has_own_adapter(network)
        if self._own and adapters:
            raise MindFormersError("adapter: the network carries one of its own, which decodes; leave adapter out")
        if self._own and in_place:
            raise MindFormersError(
                "network: has LoRA inside; to compute in place give it without, and the adapter as a folder, or use "
                "backend='engine'"
            )
        if model is None:
            config = config_of(network)  # what cannot be decoded is refused now
            if in_place:
                in_place_engine(network, config)

    @property
    def llm(self) -> LLM:
        """The loaded model, made now if it was not before."""
        if self._llm is None:
            with LOCK:
                llm = self._load()
                for name, path in self._adapters.items():
                    llm.add_adapter(name, path, layout=self._layout, lora_alpha=self._lora_alpha)
                if self._own:
                    llm.add_adapter("default", own_adapter(self.network, llm.config, "default"))
            self._llm = llm
        return self._llm

    def _load(self) -> LLM:
        if self._model is not None:
            return load(self._model, dtype=self._dtype, backend=self._operators, max_batch=self._max_batch)
        config = config_of(self.network)
        folder = self._tokenizer or Path(type(self.network).__name__)
        if self._in_place:
            limit = min(config.max_position_embeddings, unwrapped(self.network).config.seq_length)
            config = replace(config, max_position_embeddings=limit)
            placed = in_place_engine(self.network, config, operators=self._operators)
            return LLM(folder, config, placed, config.dtype, self._operators, self._max_batch)
        weights = Weights(NetworkWeights(self.network, config), self._dtype, self._operators)
        engine = Engine(CausalLMFactory(config, weights, self._operators), self._operators)
        return LLM(folder, config, engine, weights.dtype, self._operators, self._max_batch)

    def close(self) -> None:
        """Let go of the weights, and of what was compiled for the network."""
        if self._llm is not None and isinstance(self._llm.engine, InPlaceEngine):
            self._llm.engine.release()
        self._llm = None

    def generate(
        self,
        input_ids: Any,
        generation_config: Any = None,
        logits_processor: Any = None,
        streamer: Any = None,
        seed: int | None = None,
        **keywords: Any,
    ) -> Any:
        """As `generate` of a MindFormers network: token ids with their prompts, int32, or a GenerateOutput of them."""
        if logits_processor:
            raise MindFormersError("logits_processor: tokens are chosen in the graph; use mindcold's constraint")
        decoding = self._decoding if seed is None else self._decoding | {"seed": seed}
        call = read_call(self.network, input_ids, generation_config, keywords, decoding)
        states = self._states(call)
        texts = [self.llm.text_stream(state) for state in states]
        stream = ColumnStreamer(streamer, call.prompts, call.pad_token_id) if streamer is not None else None
        self._run(states, stream)
        if stream:
            stream.end()
        self.outputs = [output_of(state, text) for state, text in zip(states, texts, strict=True)]
        sequences = [np.array([*state.prompt, *state.token_ids], np.int32) for state in states]
        if not call.as_dict:
            return sequences
        from mindformers.generation.utils import GenerateOutput

        return GenerateOutput(sequences=sequences, scores=None, logits=None)

    def _states(self, call: Call) -> list[RequestState]:
        """Checked requests of a call, not decoded yet."""
        llm, single = self.llm, len(call.requests) == 1
        with LOCK:
            return [
                llm.builder.build(i, request, llm.trigrams, "input_ids: " if single else f"input_ids, row {i}: ")
                for i, request in enumerate(call.requests)
            ]

    def _run(self, states: list[RequestState], stream: ColumnStreamer | None) -> None:
        """Decode all of them; the error of the first that failed is raised then."""
        new = [0] * len(states)
        with closing(self.llm.run(states)) as tokens:
            for state, token, _, _ in tokens:
                new[state.index] += 1
                if stream:  # a request has ended before all tokens of its last step have come
                    ended = state.finish_reason is not None and new[state.index] == len(state.token_ids)
                    stream.push(state.index, token, ended)
        for state in states:
            if state.error:
                raise state.error
