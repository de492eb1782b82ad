"""The cells a decoder block is made of; the first axis of every tensor is the rows of the step.

Tensors are float32, or what the body of lora_linear computes in.

`auto_prefix=False` everywhere: MindSpore would otherwise put the name of every cell that Parameters are assigned to in
front of theirs, and the KV caches are shared.
"""

from mindspore import nn

from mindcold.config import ModelConfig
from mindcold.model.adapter_bank import AdapterBank
from mindcold.model.weights import Weights
from mindcold.ops import rope, swiglu, tree_attention


class LoraLinear(nn.Cell):
    """One linear layer of the graph with what the adapters add to it: x [R, in], adapter int32 [R] -> [R, out].

    With the name of a norm, x goes through that RMSNorm first; `residual` [R, out] is added to the result.
    """

    def __init__(self, name: str, weights: Weights, bank: AdapterBank, norm: str | None = None):
        super().__init__(auto_prefix=False)
        self.linear = weights.matrix(name).linear(*linear_operands(name, weights, bank, norm))

    def construct(self, x, adapter, residual=None):
        return self.linear(x, adapter, self.linear.none if residual is None else residual)


def linear_operands(name: str, weights: Weights, bank: AdapterBank, norm: str | None = None) -> tuple:
    """Bias, low-rank pairs, norm and its epsilon of a linear layer, as the weights of lora_linear take them."""
    gain = None if norm is None else weights.vector(f"{norm}.weight")
    return weights.vector(f"{name}.bias"), bank.pairs(name), gain, weights.config.rms_norm_eps


class Attention(nn.Cell):
    """x + self-attention of the normed rows over their sequences, new keys and values appended in place.

    construct(x [R, hidden], adapter int32 [R], cos and sin [R, 1, head_dim / 2], rows int32 [11, R], context of the
    attention body) -> [R, hidden]. `cache` are the layer's two Parameters [slots, kv_heads, head_dim].
    """

    def __init__(
        self, layer: int, config: ModelConfig, weights: Weights, bank: AdapterBank, cache: tuple, backend: str
    ):
        super().__init__(auto_prefix=False)
        name = f"model.layers.{layer}.self_attn"
        self.width = config.num_attention_heads * config.head_dim
        self.qkv_proj = LoraLinear(f"{name}.qkv_proj", weights, bank, f"model.layers.{layer}.input_layernorm")
        self.o_proj = LoraLinear(f"{name}.o_proj", weights, bank)
        self.rope = rope.body(
            backend,
            num_heads=config.num_attention_heads,
            num_kv_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            q_norm=weights.vector(f"{name}.q_norm.weight"),
            k_norm=weights.vector(f"{name}.k_norm.weight"),
            epsilon=config.rms_norm_eps,
        )
        self.k_cache, self.v_cache = cache
        self.attend = attention_body(config, layer, backend)

    def construct(self, x, adapter, cos, sin, rows, context):
        q, k, v = self.rope(self.qkv_proj(x, adapter), cos, sin, adapter)
        y = self.attend(q, k, v, self.k_cache, self.v_cache, rows, context)
        return self.o_proj(y.reshape(-1, self.width), adapter, x)


def attention_body(config: ModelConfig, layer: int, backend: str) -> nn.Cell:
    """The body of the tree_attention operator for one layer."""
    return tree_attention.body(
        backend,
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        window=config.window(layer),
    )


class MLP(nn.Cell):
    """x [R, hidden], adapter int32 [R] -> x + down(silu(gate(h)) * up(h)), where h is x after the norm."""

    def __init__(self, layer: int, weights: Weights, bank: AdapterBank, backend: str):
        super().__init__(auto_prefix=False)
        name = f"model.layers.{layer}.mlp"
        self.gate_up_proj = LoraLinear(
            f"{name}.gate_up_proj", weights, bank, f"model.layers.{layer}.post_attention_layernorm"
        )
        self.swiglu = swiglu.body(backend)
        self.down_proj = LoraLinear(f"{name}.down_proj", weights, bank)

    def construct(self, x, adapter):
        return self.down_proj(self.swiglu(self.gate_up_proj(x, adapter), adapter), adapter, x)


class DecoderLayer(nn.Cell):
    """Pre-norm attention and MLP, each with its residual: x [R, hidden] -> [R, hidden]."""

    def __init__(
        self, layer: int, config: ModelConfig, weights: Weights, bank: AdapterBank, cache: tuple, backend: str
    ):
        super().__init__(auto_prefix=False)
        self.attention = Attention(layer, config, weights, bank, cache, backend)
        self.mlp = MLP(layer, weights, bank, backend)

    def construct(self, x, adapter, cos, sin, rows, context):
        return self.mlp(self.attention(x, adapter, cos, sin, rows, context), adapter)
