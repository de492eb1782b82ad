"""mindcold for one MindFormers network: its weights handed over to our engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from mindcold.config import ModelConfig
from mindcold.decoding import RequestState, Scheduler
from mindcold.engine import LOCK, Engine
from mindcold.llm import LLM, load
from mindcold.mindformers.generation import read_call
from mindcold.mindformers.network import NetworkWeights, config_of
from mindcold.mindformers.streaming import ColumnStreamer
from mindcold.model import CausalLMFactory, Weights
from mindcold.output import Output, TextStream, output_of

BACKENDS = ("auto", "engine")
"""What computes: mindcold's engine with the network's weights, which is also what auto is."""


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
        dtype: str = "auto",
        operators: str = "auto",
        max_batch: int = 8,
    ):
        self.network = network
        self.outputs: list[Output] = []
        """What the last call gave, with its statistics."""
        self._adapters, self._decoding = dict(adapters), dict(decoding)
        self._model, self._tokenizer, self._dtype = model, tokenizer, dtype
        self._operators, self._max_batch = operators, max_batch
        self._llm: LLM | None = None
        if model is None:
            config_of(network)  # what cannot be decoded is refused now

    @property
    def llm(self) -> LLM:
        """The loaded model, made now if it was not before."""
        if self._llm is None:
            with LOCK:
                llm = self._load()
                for name, path in self._adapters.items():
                    llm.add_adapter(name, path)
            self._llm = llm
        return self._llm

    def _load(self) -> LLM:
        if self._model is not None:
            return load(self._model, dtype=self._dtype, backend=self._operators, max_batch=self._max_batch)
        config = config_of(self.network)
        folder = self._tokenizer or Path(type(self.network).__name__)
        engine, dtype = self._engine(config)
        return LLM(folder, config, engine, dtype, self._operators, self._max_batch)

    def _engine(self, config: ModelConfig) -> tuple[Engine, str]:
        """The engine and how it keeps its weights."""
        dtype = self._dtype
        if dtype == "auto":
            kinds = {item.dtype for item in self.network.get_parameters() if item.ndim == 2}
            dtype = "bfloat16" if kinds == {ms.bfloat16} else "float32"
        weights = Weights(NetworkWeights(self.network, config), dtype, self._operators)
        return Engine(CausalLMFactory(config, weights, self._operators), self._operators), dtype

    def close(self) -> None:
        """Let go of the weights."""
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
            keywords["logits_processor"] = logits_processor
        decoding = self._decoding if seed is None else self._decoding | {"seed": seed}
        call = read_call(self.network, input_ids, generation_config, keywords, decoding)
        states = self._states(call)
        stream = ColumnStreamer(streamer, call.prompts, call.pad_token_id) if streamer is not None else None
        self._run(states, stream)
        if stream:
            stream.end()
        self.outputs = [output_of(state, state.criterion.text) for state in states]  # type: ignore[union-attr]
        sequences = [np.array([*state.prompt, *state.token_ids], np.int32) for state in states]
        if not call.as_dict:
            return sequences
        from mindformers.generation.utils import GenerateOutput

        return GenerateOutput(sequences=sequences, scores=None, logits=None)

    def _states(self, call: Any) -> list[RequestState]:
        llm, states = self.llm, []
        with LOCK:
            for i, request in enumerate(call.requests):
                where = "input_ids: " if len(call.requests) == 1 else f"input_ids, row {i}: "
                state = llm.builder.build(i, request, llm.trigrams, where)
                state.criterion = TextStream(llm.tokenizer, state.params.stops)
                states.append(state)
        return states

    def _run(self, states: list[RequestState], stream: ColumnStreamer | None) -> None:
        scheduler = Scheduler(self._max_batch)
        for state in states:
            scheduler.add(state)
        try:
            while scheduler.unfinished:
                decided = scheduler.step()
                last = {item.request.index: i for i, item in enumerate(decided) if item.request.finish_reason}
                for i, item in enumerate(decided):
                    if stream:
                        stream.push(item.request.index, item.token, last.get(item.request.index) == i)
        finally:
            scheduler.close()
        for state in states:
            if state.error:
                raise state.error
