"""The cells a decoder block is made of; every tensor is float32 and its first axis is the rows of the step."""

import mindspore as ms
from mindspore import nn, ops

from mindcold.config import ModelConfig
from mindcold.model.adapter_bank import AdapterBank
from mindcold.model.rope import Rotate
from mindcold.model.weights import Weights, parameter
from mindcold.ops import tree_attention


class RMSNorm(nn.Cell):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis."""

    def __init__(self, weight: ms.Parameter, epsilon: float):
        super().__init__(auto_prefix=False)
        self.weight, self.epsilon = weight, epsilon
        self.mean = ops.ReduceMean(keep_dims=True)

    def construct(self, x):
        return x * ops.rsqrt(self.mean(x * x, -1) + self.epsilon) * self.weight


class LoraLinear(nn.Cell):
    """x W^T + bias + ((x A^T) * gate) B^T: x [R, in], gate [R, total rank] -> [R, out].

    The base weight is read once for all rows; `gate` is 1 where a rank column belongs to the row's adapter, else 0.
    """

    def __init__(self, module: str, weights: Weights, bank: AdapterBank):
        super().__init__(auto_prefix=False)
        self.weight = weights.lm_head if module == "lm_head" else weights[f"{module}.weight"]
        bias = weights.get(f"{module}.bias")
        self.has_bias = bias is not None
        if bias is not None:
            self.bias = bias
        pair = bank.pair(module, *self.weight.shape)
        self.has_lora = pair is not None
        if pair is not None:
            self.lora_a = parameter(pair[0], f"{module}.lora_A")
            self.lora_b = parameter(pair[1], f"{module}.lora_B")
        self.matmul = ops.MatMul(transpose_b=True)

    def base(self, x):
        """The base's part, for all rows."""
        y = self.matmul(x, self.weight)
        return y + self.bias if self.has_bias else y

    def add_lora(self, y, x, gate):
        """`y` and the low-rank part of the rows that have one."""
        return y + self.matmul(self.matmul(x, self.lora_a) * gate, self.lora_b) if self.has_lora else y

    def construct(self, x, gate):
        return self.add_lora(self.base(x), x, gate)


class Attention(nn.Cell):
    """Self-attention of the step's rows over their sequences, new keys and values appended in place."""

    def __init__(
        self, layer: int, config: ModelConfig, weights: Weights, bank: AdapterBank, cache: tuple, backend: str
    ):
        super().__init__(auto_prefix=False)
        name = f"model.layers.{layer}.self_attn"
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.norms = config.head_dim, config.qk_norm
        self.q_proj = LoraLinear(f"{name}.q_proj", weights, bank)
        self.k_proj = LoraLinear(f"{name}.k_proj", weights, bank)
        self.v_proj = LoraLinear(f"{name}.v_proj", weights, bank)
        self.o_proj = LoraLinear(f"{name}.o_proj", weights, bank)
        if self.norms:
            self.q_norm = RMSNorm(weights[f"{name}.q_norm.weight"], config.rms_norm_eps)
            self.k_norm = RMSNorm(weights[f"{name}.k_norm.weight"], config.rms_norm_eps)
        self.rotate = Rotate(config.head_dim)
        self.k_cache, self.v_cache = cache
        self.attend = attention_body(config, layer, backend)

    def construct(self, x, gate, cos, sin, rows, context):
        q = self.q_proj(x, gate).reshape(-1, self.heads, self.head_dim)
        k = self.k_proj(x, gate).reshape(-1, self.kv_heads, self.head_dim)
        v = self.v_proj(x, gate).reshape(-1, self.kv_heads, self.head_dim)
        if self.norms:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        y = self.attend(q, k, v, self.k_cache, self.v_cache, rows, context)
        return self.o_proj(y.reshape(-1, self.heads * self.head_dim), gate)


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
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, layer: int, weights: Weights, bank: AdapterBank):
        super().__init__(auto_prefix=False)
        name = f"model.layers.{layer}.mlp"
        self.gate_proj = LoraLinear(f"{name}.gate_proj", weights, bank)
        self.up_proj = LoraLinear(f"{name}.up_proj", weights, bank)
        self.down_proj = LoraLinear(f"{name}.down_proj", weights, bank)

    def construct(self, x, gate):
        return self.down_proj(ops.silu(self.gate_proj(x, gate)) * self.up_proj(x, gate), gate)


class DecoderLayer(nn.Cell):
    """Pre-norm attention and MLP, each added to the residual: x [R, hidden] -> [R, hidden]."""

    def __init__(
        self, layer: int, config: ModelConfig, weights: Weights, bank: AdapterBank, cache: tuple, backend: str
    ):
        super().__init__(auto_prefix=False)
        name = f"model.layers.{layer}"
        self.input_norm = RMSNorm(weights[f"{name}.input_layernorm.weight"], config.rms_norm_eps)
        self.attention = Attention(layer, config, weights, bank, cache, backend)
        self.post_norm = RMSNorm(weights[f"{name}.post_attention_layernorm.weight"], config.rms_norm_eps)
        self.mlp = MLP(layer, weights, bank)

    def construct(self, x, gate, cos, sin, rows, context):
        x = x + self.attention(self.input_norm(x), gate, cos, sin, rows, context)
        return x + self.mlp(self.post_norm(x), gate)
