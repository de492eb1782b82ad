"""One decoder layer of the training network: a forward and a backward graph that all layers of a model share.

The backward pass is written out. Against differentiating the whole network, a graph of one layer is compiled instead
of one of all layers, for every length of row again, and what is kept between the passes is chosen.
"""

from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.config import ModelConfig
from mindcold.model.shapes import linear_shapes
from mindcold.training.linear import Linear, LinearPlan

MODULES = (
    *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    *("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
)
"""Linear layers in the order of their operands and gradients."""

NORMS = ("input_layernorm", "post_attention_layernorm")
HEAD_NORMS = ("self_attn.q_norm", "self_attn.k_norm")


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What a layer's graphs depend on besides the configuration; layers with equal plans share them."""

    linears: tuple[LinearPlan, ...]
    """In the order of MODULES."""
    trained: bool
    """Whether everything is trained, rather than low-rank updates alone."""


def norm_backward(x, weight, dy, epsilon):
    """Gradients of RMSNorm's x and, by row, of its weight: all [..., K]."""
    inverse = ops.rsqrt((x * x).mean(-1, keep_dims=True) + epsilon)
    g = dy * weight
    dx = inverse * (g - x * (inverse * inverse * (g * x).mean(-1, keep_dims=True)))
    return dx, dy * x * inverse


def norm(x, weight, epsilon):
    """RMSNorm over the last axis: [..., K] -> [..., K]."""
    return x * ops.rsqrt((x * x).mean(-1, keep_dims=True) + epsilon) * weight


class Layer(nn.Cell):
    """What both passes need. T is batch * length; operands are norms, head norms, then those of the linear layers."""

    def __init__(self, config: ModelConfig, plan: LayerPlan):
        super().__init__(auto_prefix=False)
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.groups = config.head_dim, self.heads // self.kv_heads
        self.half, self.scale, self.epsilon = self.head_dim // 2, self.head_dim**-0.5, config.rms_norm_eps
        self.qk_norm, self.trained = config.qk_norm, plan.trained
        shapes, first = linear_shapes(config), 4 if config.qk_norm else 2
        linears = []
        for name, item in zip(MODULES, plan.linears, strict=True):
            linears.append(Linear(item, first, shapes[f"model.layers.0.{name}"]))
            first += item.operands
        self.q, self.k, self.v, self.o, self.gate, self.up, self.down = linears
        self.by_rows, self.by_columns = ops.BatchMatMul(transpose_b=True), ops.BatchMatMul(transpose_a=True)
        self.product, self.softmax = ops.BatchMatMul(), ops.Softmax(-1)
        self.rows = ops.MatMul()
        self.ones = ms.Tensor(np.repeat(np.eye(self.heads, dtype=np.float32), self.head_dim, 0))

    def split(self, x, mask, heads):
        """[T, heads * head_dim] -> [batch, heads, length, head_dim]."""
        return x.reshape(mask.shape[0], mask.shape[-1], heads, self.head_dim).transpose(0, 2, 1, 3)

    def join(self, x, width):
        """[batch, heads, length, head_dim] -> [T, width]."""
        return x.transpose(0, 2, 1, 3).reshape(-1, width)

    def rotate(self, x, cos, sin):
        """Rotary embedding; with -sin its transpose."""
        first, second = x[:, :, :, : self.half], x[:, :, :, self.half :]
        return ops.cat((first * cos - second * sin, second * cos + first * sin), -1)

    def grouped(self, x):
        """The query heads of one key head side by side: [batch, kv_heads, groups * length, head_dim]."""
        return x.reshape(x.shape[0], self.kv_heads, -1, self.head_dim)

    def operands_of_attention(self, q, k, v, mask, cos, sin, operands):
        """Rotated (and normed) query and key, value and the attention probabilities."""
        q, k = self.split(q, mask, self.heads), self.split(k, mask, self.kv_heads)
        if self.qk_norm:
            q, k = norm(q, operands[2], self.epsilon), norm(k, operands[3], self.epsilon)
        q, k = self.grouped(self.rotate(q, cos, sin)), self.rotate(k, cos, sin)
        length = mask.shape[-1]
        scores = self.by_rows(q, k).reshape(-1, self.kv_heads, self.groups, length, length)
        p = self.softmax(scores * self.scale + mask).reshape(-1, self.kv_heads, self.groups * length, length)
        return q, k, self.split(v, mask, self.kv_heads), p

    def attend(self, q, k, v, mask, cos, sin, operands):
        """Causal attention within documents: [T, ...] -> [T, heads * head_dim]."""
        q, k, v, p = self.operands_of_attention(q, k, v, mask, cos, sin, operands)
        y = self.product(p, v).reshape(-1, self.heads, mask.shape[-1], self.head_dim)
        return self.join(y, self.heads * self.head_dim)

    def attend_backward(self, q, k, v, y, dy, mask, cos, sin, operands):
        """Gradients of query, key and value, all [T, ...], then those of the head norms; y is what attention gave."""
        raw_q, raw_k = q, k
        q, k, v, p = self.operands_of_attention(q, k, v, mask, cos, sin, operands)
        # the sum of dp * p over a row of p is that of dy * y; a product with ones is quicker than a sum
        sums = self.rows(dy * y, self.ones).reshape(mask.shape[0], mask.shape[-1], self.heads, 1)
        dy = self.grouped(self.split(dy, mask, self.heads))
        dp = self.by_rows(dy, v)
        ds = p * (dp - sums.transpose(0, 2, 1, 3).reshape(dp.shape[0], self.kv_heads, -1, 1)) * self.scale
        dq = self.product(ds, k).reshape(-1, self.heads, mask.shape[-1], self.head_dim)
        dq, dk = self.rotate(dq, cos, -sin), self.rotate(self.by_columns(ds, q), cos, -sin)
        gradients: tuple = ()
        if self.qk_norm:
            dq, wq = norm_backward(self.split(raw_q, mask, self.heads), operands[2], dq, self.epsilon)
            dk, wk = norm_backward(self.split(raw_k, mask, self.kv_heads), operands[3], dk, self.epsilon)
            if self.trained:
                gradients = (wq.sum((0, 1, 2)), wk.sum((0, 1, 2)))
        width = self.kv_heads * self.head_dim
        dv = self.join(self.by_columns(p, dy), width)
        return self.join(dq, self.heads * self.head_dim), self.join(dk, width), dv, gradients


class LayerForward(nn.Cell):
    """construct(x [T, hidden], mask [batch, 1, 1, length, length], cos, sin [length, head_dim / 2], *operands).

    Gives y [T, hidden] and what the backward pass needs: q, k, v, attention, x after it, gate and up.
    """

    def __init__(self, config: ModelConfig, plan: LayerPlan):
        super().__init__(auto_prefix=False)
        self.layer = Layer(config, plan)

    def construct(self, x, mask, cos, sin, *operands):
        layer = self.layer
        h = norm(x, operands[0], layer.epsilon)
        q, k, v = layer.q(h, operands), layer.k(h, operands), layer.v(h, operands)
        attention = layer.attend(q, k, v, mask, cos, sin, operands)
        middle = x + layer.o(attention, operands)
        h = norm(middle, operands[1], layer.epsilon)
        gate, up = layer.gate(h, operands), layer.up(h, operands)
        y = middle + layer.down(gate * ops.sigmoid(gate) * up, operands)
        return y, q, k, v, attention, middle, gate, up


class LayerBackward(nn.Cell):
    """construct(dy [T, hidden], x, q, k, v, attention, middle, gate, up, mask, cos, sin, *operands).

    Gives dx [T, hidden] and the gradients of what is trained: norms and head norms where all is, then linear layers.
    """

    def __init__(self, config: ModelConfig, plan: LayerPlan):
        super().__init__(auto_prefix=False)
        self.layer = Layer(config, plan)

    def construct(self, dy, x, q, k, v, attention, middle, gate, up, mask, cos, sin, *operands):
        layer, epsilon = self.layer, self.layer.epsilon
        sigmoid = ops.sigmoid(gate)
        silu = gate * sigmoid
        ds, of_down = layer.down.backward(silu * up, dy, operands)
        h = norm(middle, operands[1], epsilon)
        dh, of_up = layer.up.backward(h, ds * silu, operands)
        more, of_gate = layer.gate.backward(h, ds * up * sigmoid * (1.0 + gate - silu), operands)
        dmiddle, of_norm2 = norm_backward(middle, operands[1], dh + more, epsilon)
        dmiddle = dmiddle + dy
        da, of_o = layer.o.backward(attention, dmiddle, operands)
        dq, dk, dv, of_heads = layer.attend_backward(q, k, v, attention, da, mask, cos, sin, operands)
        h = norm(x, operands[0], epsilon)
        dh, of_q = layer.q.backward(h, dq, operands)
        more, of_k = layer.k.backward(h, dk, operands)
        last, of_v = layer.v.backward(h, dv, operands)
        dx, of_norm1 = norm_backward(x, operands[0], dh + more + last, epsilon)
        gradients = (of_norm1.sum(0), of_norm2.sum(0), *of_heads) if layer.trained else ()
        return (dx + dmiddle, *gradients, *of_q, *of_k, *of_v, *of_o, *of_gate, *of_up, *of_down)


class Mask(nn.Cell):
    """documents int32 [batch, length] -> what is added to scores, float32 [batch, 1, 1, length, length].

    A token attends to earlier ones of its document, `window` of them with itself (0 for all). The constant is finite,
    so that gradients stay finite.
    """

    def __init__(self, window: int):
        super().__init__(auto_prefix=False)
        self.window = window

    def construct(self, documents):
        batch, length = documents.shape
        places = ops.arange(length)
        distance = places.reshape(-1, 1) - places.reshape(1, -1)
        seen = distance >= 0
        if self.window:
            seen = ops.logical_and(seen, distance < self.window)
        same = documents.reshape(batch, length, 1) == documents.reshape(batch, 1, length)
        hidden = ops.cast(ops.logical_not(ops.logical_and(same, seen)), ms.float32)
        return (hidden * -1e9).reshape(batch, 1, 1, length, length)
