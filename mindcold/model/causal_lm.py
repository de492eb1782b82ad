"""The whole network: rows of a step in, logits of the wanted rows out."""

import mindspore as ms
from mindspore import nn, ops

from mindcold.model.adapter_bank import AdapterBank
from mindcold.model.layers import LoraLinear
from mindcold.model.rope import RotaryAngles
from mindcold.model.shapes import EMBEDDING
from mindcold.model.stack import ModelStack
from mindcold.model.weights import Weights
from mindcold.ops import decoder
from mindcold.ops.lora_linear import PADDING
from mindcold.ops.rows import Row

FINAL_NORM = "model.norm"


class Embedding(nn.Cell):
    """Token embedding, with the own table of adapters that replace it: token, adapter int32 [R] -> [R, hidden]."""

    def __init__(self, weights: Weights, bank: AdapterBank):
        super().__init__(auto_prefix=False)
        replacing = bank.replacing(EMBEDDING)
        self.base = weights.matrix(EMBEDDING).lookup()
        self.ids = tuple(replacing)
        self.own = nn.CellList([table.lookup() for table in replacing.values()], auto_prefix=False)

    def construct(self, token, adapter):
        x = self.base(token)
        for i in range(len(self.ids)):
            x = ops.where((adapter == self.ids[i]).reshape(-1, 1), ops.cast(self.own[i](token), x.dtype), x)
        return x


class Head(nn.Cell):
    """Final norm and output projection, with the own matrix of adapters that replace it: [L, hidden] -> [L, vocab]."""

    def __init__(self, weights: Weights, bank: AdapterBank):
        super().__init__(auto_prefix=False)
        replacing = bank.replacing("lm_head")
        self.base = LoraLinear("lm_head", weights, bank, FINAL_NORM)
        self.ids = tuple(replacing)
        gain, epsilon = weights.vector(f"{FINAL_NORM}.weight"), weights.config.rms_norm_eps
        own = [table.linear(None, [], gain, epsilon) for table in replacing.values()]
        self.own = nn.CellList(own, auto_prefix=False)

    def construct(self, x, adapter):
        logits = ops.cast(self.base(x, adapter), ms.float32)
        for i in range(len(self.ids)):
            own = ops.cast(self.own[i](x, adapter, self.own[i].none), ms.float32)
            logits = ops.where((adapter == self.ids[i]).reshape(-1, 1), own, logits)
        return logits


class CausalLM(nn.Cell):
    """A Llama, Mistral, Qwen2 or Qwen3 decoder over the rows of a step.

    construct(rows int32 [11, R], take int32 [L]) -> logits float32 [L, vocab] of the rows in `take` (-1 for none). The
    lines of `rows` are those of `mindcold.ops.rows.Row`.
    """

    def __init__(self, stack: ModelStack):
        super().__init__(auto_prefix=False)
        weights, bank = stack.weights, stack.bank
        self.embed = Embedding(weights, bank)
        self.angles = RotaryAngles(stack.config)
        self.decoder = decoder.body(stack.backend, stack=stack)
        self.adapters_in_graph = adapters_in_graph(bank)
        self.head = Head(weights, bank)
        self.padding = PADDING
        self.gather = ops.Gather()
        self.lines = ops.Unstack()

    def renew(self, stack: ModelStack) -> bool:
        """Take other layers of the same model without compiling anew; False where that cannot be."""
        if not hasattr(self.decoder, "take") or adapters_in_graph(stack.bank) != self.adapters_in_graph:
            return False
        self.decoder.take(stack)
        return True

    def construct(self, rows, take):
        lines = self.lines(rows)  # an index of a tensor takes far longer to compile
        adapter = lines[Row.ADAPTER]
        cos, sin = self.angles(lines[Row.POSITION])
        x = self.decoder(self.embed(lines[Row.TOKEN], adapter), adapter, cos, sin, rows)
        wanted = ops.maximum(take, 0)
        adapter = ops.where(take < 0, self.padding, self.gather(adapter, wanted, 0))
        return self.head(self.gather(x, wanted, 0), adapter)


def adapters_in_graph(bank: AdapterBank) -> tuple[int, ...]:
    """Ids of the adapters that are in the graph itself: those that change the embedding or the output projection."""
    low_rank = [pair.adapter for pair in bank.pairs("lm_head")]
    return (*low_rank, -1, *bank.replacing("lm_head"), -1, *bank.replacing(EMBEDDING))
