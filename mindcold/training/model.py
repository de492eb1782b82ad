"""The training network: the engine's mathematics over whole sequences, with gradients, layer by layer."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.model.rope import inverse_frequencies
from mindcold.model.shapes import EMBEDDING, has_bias, weight_shapes
from mindcold.ops import frozen_matmul
from mindcold.training.batch import Batch
from mindcold.training.layer import HEAD_NORMS, MODULES, NORMS, LayerBackward, LayerForward, LayerPlan, Mask
from mindcold.training.linear import LinearPlan
from mindcold.training.lora import LoraSettings
from mindcold.training.loss import SLICE, WHOLE_SLICE, HeadLoss, HeadPlan, Logits
from mindcold.training.sums import Sum

FINAL_NORM = "model.norm.weight"
_TABLE, _HEAD = f"{EMBEDDING}.weight", "lm_head.weight"


class _Embed(nn.Cell):
    """tokens int32 [batch, length] -> [T, hidden]."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

    def construct(self, tokens, table):
        return ops.gather(table, tokens.reshape(-1), 0)


class _EmbedBackward(nn.Cell):
    """Gradient of the embedding table [vocab, hidden], added to that of the output projection where it is the same."""

    def __init__(self, vocab: int):
        super().__init__(auto_prefix=False)
        self.vocab, self.segments = vocab, ops.UnsortedSegmentSum()

    def construct(self, tokens, dx, *of_head):
        found = self.segments(dx, tokens.reshape(-1), self.vocab)
        return found if len(of_head) == 0 else found + of_head[0]


class TrainingLM:
    """A Llama, Mistral, Qwen2 or Qwen3 model to train: the whole of it, or a LoRA adapter on it.

    `weights` are float32 by HuggingFace name, each asked for once. With `dtype` "bfloat16" the matrices of a base that
    is not trained are kept in it, and what is multiplied with them is rounded to it; sums and all else are float32.
    Graphs are compiled for every shape of batch that comes, those of a layer once for all layers alike. MindSpore takes
    one thread at a time: callers hold the runtime's lock.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, np.ndarray],
        lora: LoraSettings | None = None,
        dtype: str = "float32",
    ):
        ms.set_context(mode=ms.GRAPH_MODE)
        self.config, self.lora = config, lora
        self._packed = lora is not None and dtype == "bfloat16"
        self._modules = {} if lora is None else lora.modules(config)
        # peft copies an embedding or a head that it saves, which unties them
        tied = config.tie_word_embeddings and not (lora and lora.saved)
        self._head = _TABLE if tied else _HEAD
        source = {name: name for name in weight_shapes(config)}
        if config.tie_word_embeddings and not tied:
            source[_HEAD] = _TABLE
        if lora is None:
            start = {name: weights[name] for name in source}
        else:
            start = lora.initial(config) | {name: weights[source[name]] for name in lora.saved_weights()}
        # Tensors and not Parameters are what graphs take: a graph with a Parameter among its inputs is that Parameter's
        self._values: dict[str, ms.Tensor] = {}
        for name, stored in source.items():
            if name not in start:
                self._values |= self._kept(name, weights[stored])
        self.trainable = {name: ms.Parameter(ms.Tensor(value), name=name) for name, value in start.items()}
        self._values |= {name: ms.Tensor(value) for name, value in start.items()}
        layers = range(config.num_hidden_layers)
        self._plans = [self._plan(i, dropout=True) for i in layers]
        self._names_of = [self._operands_of(i) for i in layers]
        self._names = [self._gradients_of(i) for i in layers]
        self._masks = {window: _graph(Mask, window) for window in {config.window(i) for i in layers}}
        self._embed, self._embed_backward = _graph(_Embed), _graph(_EmbedBackward, config.vocab_size)
        plain = self._head_plan(dropout=False)
        self._loss, self._logits, self._sum = _graph(HeadLoss, plain, False), _graph(Logits, plain), _graph(Sum)
        self._gradient = _graph(HeadLoss, self._head_plan(dropout=True), True)
        self._ends = [name for name in (FINAL_NORM, self._head, *self._operands_of_head()) if name in self._values]
        self._rotation = lru_cache(16)(self._make_rotation)

    def _kept(self, name: str, value: np.ndarray) -> dict[str, ms.Tensor]:
        """A weight as the graphs take it: matrices in two packed forms if the base is in bfloat16, else as it is.

        Of the embedding and the output projection single lines are needed too.
        """
        found = {}
        if self._packed and value.ndim == 2 and (name != _TABLE or name == self._head):
            outputs, inputs = value.shape
            pack = frozen_matmul.body(outputs=outputs).pack, frozen_matmul.body(outputs=inputs).pack
            first = f"{name}.packed" if name == self._head else name
            found = {first: pack[0](value), f"{name}.transposed": pack[1](np.ascontiguousarray(value.T))}
        if name not in found:
            found[name] = ms.Tensor(np.ascontiguousarray(value))
        return found

    def update(self, values: Iterable[ms.Tensor]) -> None:
        """Go on with these values of what is trained, in the order of `trainable`."""
        self._values |= zip(self.trainable, values, strict=True)

    def gradients(self, batch: Batch) -> tuple[ms.Tensor, list[ms.Tensor]]:
        """Scaled loss of a batch, float32 scalar, and its gradients in the order of `trainable`."""
        noise = self._noise(batch)
        tokens, geometry = ms.Tensor(batch.tokens), self._geometry(batch)
        x, kept = self._embed(tokens, self._values[_TABLE]), []
        for i, plan in enumerate(self._plans):
            y, *rest = _graph(LayerForward, self.config, plan)(x, *geometry[i], *self._operands(i, noise))
            kept.append((x, *rest))
            x = y
        found: dict[str, ms.Tensor] = {}
        loss, dx, *of_ends = self._by_slice(self._gradient, x, batch, noise)
        for i in reversed(range(len(kept))):
            operands = (*geometry[i], *self._operands(i, noise))
            backward = _graph(LayerBackward, self.config, self._plans[i])
            dx, *mine = _tuple(backward(dx, *kept.pop(), *operands))
            found |= zip(self._names[i], mine, strict=True)
        found |= zip((name for name in self._ends if name in self.trainable), of_ends, strict=True)
        if _TABLE in self.trainable:
            of_head = [found[_TABLE]] if _TABLE in found else []
            found[_TABLE] = self._embed_backward(tokens, dx, *of_head)
        return loss, [found[name] for name in self.trainable]

    def loss(self, batch: Batch) -> ms.Tensor:
        """Scaled loss of a batch without dropout, float32 scalar."""
        return self._by_slice(self._loss, self._states(batch), batch)[0]

    def logits(self, batch: Batch) -> np.ndarray:
        """Logits of every position, float32 [batch, length, vocab], without dropout."""
        names = (FINAL_NORM, self._head, *_pair("lm_head"))
        found = self._logits(self._states(batch), *(self._values[name] for name in names if name in self._values))
        return found.asnumpy().reshape(*batch.tokens.shape, -1)

    def _states(self, batch: Batch) -> ms.Tensor:
        geometry = self._geometry(batch)
        x = self._embed(ms.Tensor(batch.tokens), self._values[_TABLE])
        for i in range(len(self._plans)):
            forward = _graph(LayerForward, self.config, self._plan(i, dropout=False))
            x = forward(x, *geometry[i], *self._operands(i, None))[0]
        return x

    def _by_slice(
        self, graph: Any, x: ms.Tensor, batch: Batch, noise: dict[str, ms.Tensor] | None = None
    ) -> tuple[ms.Tensor, ...]:
        """The sums of what a graph of the loss gives for each slice of the places."""
        found: tuple[ms.Tensor, ...] | None = None
        ends = [self._values[name] for name in self._ends]
        if noise is not None and "lm_head" in noise:
            ends.append(noise["lm_head"])
        for labelled in batch.labelled(WHOLE_SLICE if self._head in self.trainable else SLICE):
            mine = _tuple(graph(x, *labelled, *ends))
            found = mine if found is None else self._sum(*found, *mine)
        assert found is not None
        return found

    def _geometry(self, batch: Batch) -> list[tuple[ms.Tensor, ms.Tensor, ms.Tensor]]:
        """Mask, cosine and sine of every layer."""
        length = batch.tokens.shape[1]
        if length > self.config.max_position_embeddings:
            limit = self.config.max_position_embeddings
            raise TrainingError(f"sequence_length: {length} is above the model's max_position_embeddings {limit}")
        documents = ms.Tensor(batch.documents)
        masks = {window: mask(documents) for window, mask in self._masks.items()}
        layers = range(self.config.num_hidden_layers)
        return [(masks[self.config.window(i)], *self._rotation(length)) for i in layers]

    def _make_rotation(self, length: int) -> tuple[ms.Tensor, ms.Tensor]:
        angles = np.arange(length, dtype=np.float32)[:, None] * inverse_frequencies(self.config)[None]
        return ms.Tensor(np.cos(angles)), ms.Tensor(np.sin(angles))

    def _operands_of_head(self) -> list[str]:
        return [f"{self._head}.packed", f"{self._head}.transposed", *_pair("lm_head")]

    def _head_plan(self, dropout: bool) -> HeadPlan:
        config = self.config
        plan = self._linear_plan("lm_head", dropout, self._head in self.trainable)
        return HeadPlan((config.vocab_size, config.hidden_size), config.rms_norm_eps, plan, self.lora is None)

    def _plan(self, layer: int, dropout: bool) -> LayerPlan:
        whole = self.lora is None
        linears = [self._linear_plan(f"model.layers.{layer}.{name}", dropout, whole) for name in MODULES]
        return LayerPlan(tuple(linears), whole)

    def _linear_plan(self, module: str, dropout: bool, trained: bool) -> LinearPlan:
        plan = LinearPlan(has_bias(self.config, module), trained, packed=self._packed and not trained)
        if self.lora is None or (item := self._modules.get(module)) is None:
            return plan
        kept = self.lora.dropout if dropout else 0.0
        return replace(plan, rank=item.rank, scaling=item.scaling, dropout=kept)

    def _operands_of(self, layer: int) -> list[str]:
        """Names of what the graphs of a layer take, in the order of `Layer`, without noise."""
        prefix = f"model.layers.{layer}."
        norms = (*NORMS, *(HEAD_NORMS if self.config.qk_norm else ()))
        names = [f"{prefix}{name}.weight" for name in norms]
        names += [f"{prefix}{name}.{leaf}" for name in MODULES for leaf in _LEAVES]
        return [name for name in names if name in self._values]

    def _gradients_of(self, layer: int) -> list[str]:
        """Names of the gradients that the backward graph of a layer gives, in their order."""
        return [name for name in self._names_of[layer] if name in self.trainable]

    def _noise(self, batch: Batch) -> dict[str, ms.Tensor] | None:
        """Random numbers of every adapted layer's rows, int32 [T, 1], from the seed and the batch's number alone."""
        if self.lora is None or not self.lora.dropout:
            return None
        rng = np.random.default_rng([self.lora.seed, batch.number])
        rows = batch.tokens.size
        numbers = rng.integers(-(2**31), 2**31, (len(self._modules), rows, 1)).astype(np.int32)
        return {module: ms.Tensor(item) for module, item in zip(self._modules, numbers, strict=True)}

    def _operands(self, layer: int, noise: dict[str, ms.Tensor] | None) -> list[ms.Tensor]:
        """What the graphs of a layer take; the noise of a low-rank update after its pair."""
        found = []
        for name in self._names_of[layer]:
            found.append(self._values[name])
            module, pair, _ = name.partition(".lora_B")
            if pair and noise is not None:
                found.append(noise[module])
        return found


_PAIR = ("lora_A.weight", "lora_B.weight")


def _pair(module: str) -> list[str]:
    return [f"{module}.{leaf}" for leaf in _PAIR]


_LEAVES = ("weight", "weight.transposed", "bias", *_PAIR)


@cache
def _graph(kind: type[nn.Cell], *settings: Any) -> Any:
    """A graph, of which a process has one for the same settings: it is compiled once for every shape of its inputs."""
    return kind(*settings)


def _tuple(found: Any) -> tuple:
    """The outputs of a graph, of which there may be one."""
    return found if isinstance(found, tuple) else (found,)


def initial_weights(config: ModelConfig, seed: int) -> dict[str, np.ndarray]:
    """Fresh weights: normal with 0.02, output projections scaled down by sqrt(2 * layers) (GPT-2), norms at one."""
    rng = np.random.default_rng(seed)
    narrow = 0.02 / math.sqrt(2 * config.num_hidden_layers)
    weights = {}
    for name, shape in weight_shapes(config).items():
        if name.endswith("norm.weight"):
            value = np.ones(shape)
        elif name.endswith(".bias"):
            value = np.zeros(shape)
        else:
            value = rng.standard_normal(shape) * (narrow if "o_proj" in name or "down_proj" in name else 0.02)
        weights[name] = value.astype(np.float32)
    return weights
