"""The whole network: rows of a step in, logits of the wanted rows out."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.config import ModelConfig
from mindcold.model.adapter_bank import AdapterBank
from mindcold.model.layers import DecoderLayer, LoraLinear, RMSNorm, attention_body
from mindcold.model.rope import RotaryAngles
from mindcold.model.weights import Weights, parameter

TOKEN, START, POSITION, CELL, PARENT, ADAPTER = range(6)
"""Lines of the int32 [6, R] matrix that describes the rows of a step."""


class Embedding(nn.Cell):
    """Token embedding; adapters that replace it have their own table behind the base's: int32 [R] -> [R, hidden]."""

    def __init__(self, weights: Weights, bank: AdapterBank):
        super().__init__(auto_prefix=False)
        base = weights["model.embed_tokens.weight"]
        replacing = bank.replacing("model.embed_tokens")
        self.replaced = bool(replacing)
        self.table = base
        if replacing:
            own = [bank.adapters[i].replaced["model.embed_tokens"] for i in replacing]
            self.table = parameter(np.concatenate([base.asnumpy(), *own]), "model.embed_tokens.all")
            offsets = np.zeros(len(bank.adapters) + 1, np.int32)  # line 0 is the base, adapter i is line i + 1
            offsets[np.asarray(replacing) + 1] = base.shape[0] * np.arange(1, len(replacing) + 1)
            self.offsets = ms.Tensor(offsets)
        self.gather = ops.Gather()

    def construct(self, token, adapter):
        if self.replaced:
            token = token + self.gather(self.offsets, adapter + 1, 0)
        return self.gather(self.table, token, 0)


class Head(nn.Cell):
    """Output projection, with the own matrix of adapters that replace it: [L, hidden] -> logits [L, vocab]."""

    def __init__(self, weights: Weights, bank: AdapterBank):
        super().__init__(auto_prefix=False)
        self.linear = LoraLinear("lm_head", weights, bank)
        self.ids = tuple(bank.replacing("lm_head"))
        self.own = ms.ParameterTuple(
            [parameter(bank.adapters[i].replaced["lm_head"], f"lm_head.adapter{i}") for i in self.ids]
        )
        self.matmul = ops.MatMul(transpose_b=True)

    def construct(self, x, gate, adapter):
        logits = self.linear.base(x)
        for k in range(len(self.ids)):
            mine = (adapter == self.ids[k]).reshape(-1, 1)
            logits = ops.where(mine, self.matmul(x, self.own[k]), logits)
        return self.linear.add_lora(logits, x, gate)


class CausalLM(nn.Cell):
    """A Llama, Mistral, Qwen2 or Qwen3 decoder over the rows of a step.

    construct(rows int32 [6, R], take int32 [L]) -> logits float32 [L, vocab] of the rows in `take`. The lines of `rows`
    are token, start, position, cell, parent, adapter (see `mindcold.ops.tree_attention`; adapter -1 is the base).
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        bank: AdapterBank,
        caches: list[tuple[ms.Parameter, ms.Parameter]],
        backend: str = "auto",
    ):
        super().__init__(auto_prefix=False)
        self.embed = Embedding(weights, bank)
        self.angles = RotaryAngles(config)
        layers = [DecoderLayer(i, config, weights, bank, cache, backend) for i, cache in enumerate(caches)]
        self.layers = nn.CellList(layers, auto_prefix=False)
        self.norm = RMSNorm(weights["model.norm.weight"], config.rms_norm_eps)
        self.head = Head(weights, bank)
        # what attention needs of the step's rows, once per window size rather than once per layer
        windows = sorted({config.window(i) for i in range(len(layers))})
        first = [next(i for i in range(len(layers)) if config.window(i) == window) for window in windows]
        self.prepare = nn.CellList([attention_body(config, i, backend).prepare for i in first], auto_prefix=False)
        self.context_of = tuple(windows.index(config.window(i)) for i in range(len(layers)))
        self.pool_cells = caches[0][0].shape[0]
        self.adapted = bank.total > 0
        self.owner = ms.Tensor(bank.owner.reshape(1, -1)) if self.adapted else None
        self.gather = ops.Gather()

    def construct(self, rows, take):
        adapter = rows[5]
        gate = ops.cast(adapter.reshape(-1, 1) == self.owner, ms.float32) if self.adapted else adapter
        cos, sin = self.angles(rows[2])
        contexts: tuple = ()
        for prepare in self.prepare:
            contexts = (*contexts, prepare(rows, self.pool_cells))
        x = self.embed(rows[0], adapter)
        for i in range(len(self.layers)):
            x = self.layers[i](x, gate, cos, sin, rows, contexts[self.context_of[i]])
        x = self.norm(self.gather(x, take, 0))
        return self.head(x, self.gather(gate, take, 0), self.gather(adapter, take, 0))
