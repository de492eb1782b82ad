"""All decoder layers of a model: as cells, or as what one operator for all of them knows."""

from collections.abc import Iterator
from dataclasses import dataclass

from mindspore import Parameter, nn

from mindcold.config import ModelConfig
from mindcold.model.adapter_bank import AdapterBank
from mindcold.model.layers import DecoderLayer, attention_body, linear_operands
from mindcold.model.weights import Weights
from mindcold.ops.decoder import HeadShape, LayerParts
from mindcold.ops.rope.aot import norms_of


@dataclass(frozen=True, slots=True)
class ModelStack:
    """The layers over `caches` with the adapters that are live when it is asked; see `mindcold.ops.decoder`."""

    config: ModelConfig
    weights: Weights
    bank: AdapterBank
    caches: list[tuple[Parameter, Parameter]]
    backend: str = "auto"

    @property
    def shape(self) -> HeadShape:
        """Heads of every layer."""
        return HeadShape(self.config.num_attention_heads, self.config.num_key_value_heads, self.config.head_dim)

    def cells(self) -> nn.Cell:
        """The layers one after the other."""
        return DecoderLayers(self)

    def parts(self) -> Iterator[LayerParts]:
        """What C++ knows of each layer."""
        for i, cache in enumerate(self.caches):
            attention, mlp = f"model.layers.{i}.self_attn", f"model.layers.{i}.mlp"
            names = {
                f"{attention}.qkv_proj": f"model.layers.{i}.input_layernorm",
                f"{attention}.o_proj": None,
                f"{mlp}.gate_up_proj": f"model.layers.{i}.post_attention_layernorm",
                f"{mlp}.down_proj": None,
            }
            linears = [
                self.weights.matrix(name).layer(*linear_operands(name, self.weights, self.bank, norm))
                for name, norm in names.items()
            ]
            q_norm, k_norm = (self.weights.vector(f"{attention}.{side}_norm.weight") for side in "qk")
            norms = norms_of(q_norm, k_norm, self.config.rms_norm_eps)
            yield LayerParts(*linears, norms, cache, self.config.window(i))


class DecoderLayers(nn.Cell):
    """Layers one after the other: x [R, hidden], adapter, cos, sin and rows as in `Attention` -> [R, hidden]."""

    def __init__(self, stack: ModelStack):
        super().__init__(auto_prefix=False)
        config, count = stack.config, len(stack.caches)
        layers = [
            DecoderLayer(i, config, stack.weights, stack.bank, cache, stack.backend)
            for i, cache in enumerate(stack.caches)
        ]
        self.layers = nn.CellList(layers, auto_prefix=False)
        # what attention needs of the step's rows, once per window size rather than once per layer
        windows = sorted({config.window(i) for i in range(count)})
        first = [next(i for i in range(count) if config.window(i) == window) for window in windows]
        prepare = [attention_body(config, i, stack.backend).prepare for i in first]
        self.prepare = nn.CellList(prepare, auto_prefix=False)
        self.context_of = tuple(windows.index(config.window(i)) for i in range(count))
        self.pool_slots = stack.caches[0][0].shape[0]

    def construct(self, x, adapter, cos, sin, rows):
        contexts: tuple = ()
        for prepare in self.prepare:
            contexts = (*contexts, prepare(rows, self.pool_slots))
        for i in range(len(self.layers)):
            x = self.layers[i](x, adapter, cos, sin, rows, contexts[self.context_of[i]])
        return x
