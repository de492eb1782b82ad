"""The training network: the same Llama mathematics as the engine's, over whole sequences and with gradients."""

import math

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.model.rope import inverse_frequencies
from mindcold.model.shapes import has_bias, weight_shapes
from mindcold.ops.rms_norm import RMSNorm

IGNORED = -100
"""Label of positions that do not count in the loss."""

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear layers a LoRA adapter can be put on."""


class Linear(nn.Cell):
    """x W^T (+ bias), and with LoRA + scaling * (x A^T) B^T while W stays as it is: [..., in] -> [..., out]."""

    def __init__(self, module: str, weights: dict[str, ms.Parameter], config: ModelConfig, lora: "LoraSettings | None"):
        super().__init__(auto_prefix=False)
        self.weight = weights[f"{module}.weight"]
        self.biased = has_bias(config, module)
        if self.biased:
            self.bias = weights[f"{module}.bias"]
        self.adapted = lora is not None and module.rsplit(".", 1)[-1] in lora.targets
        if lora is not None and self.adapted:
            out_size, in_size = self.weight.shape
            bound = 1 / math.sqrt(in_size)  # kaiming-uniform with a = sqrt(5), the initialisation of peft
            down = lora.rng.uniform(-bound, bound, (lora.rank, in_size)).astype(np.float32)
            self.lora_a = ms.Parameter(ms.Tensor(down), name=f"{module}.lora_A.weight")
            self.lora_b = ms.Parameter(
                ms.Tensor(np.zeros((out_size, lora.rank), np.float32)), f"{module}.lora_B.weight"
            )
            self.scaling = lora.alpha / lora.rank
        self.matmul = ops.MatMul(transpose_b=True)

    def construct(self, x):
        y = self.matmul(x, self.weight)
        if self.biased:
            y = y + self.bias
        if self.adapted:
            y = y + self.matmul(self.matmul(x, self.lora_a), self.lora_b) * self.scaling
        return y


class LoraSettings:
    """Rank, alpha and target modules of an adapter to train; TrainingError names an unknown module."""

    def __init__(self, rank: int, alpha: float, targets: tuple[str, ...], seed: int = 0):
        unknown = sorted(set(targets) - set(TARGETS))
        if unknown or not targets:
            raise TrainingError(
                f"target_modules: {', '.join(unknown) or 'none given'}; choose from {', '.join(TARGETS)}"
            )
        if rank < 1 or alpha <= 0:
            raise TrainingError(f"lora_rank and lora_alpha: positive numbers are expected, found {rank} and {alpha}")
        self.rank, self.alpha, self.targets = rank, alpha, targets
        self.rng = np.random.default_rng(seed)


class Block(nn.Cell):
    """One decoder layer over [batch * length, hidden]; attention is causal within each sequence."""

    def __init__(self, layer: int, config: ModelConfig, batch: int, length: int, linear, weights):
        super().__init__(auto_prefix=False)
        name = f"model.layers.{layer}"
        self.shape = (batch, length)
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.groups = self.heads // self.kv_heads
        self.q_proj = linear(f"{name}.self_attn.q_proj")
        self.k_proj = linear(f"{name}.self_attn.k_proj")
        self.v_proj = linear(f"{name}.self_attn.v_proj")
        self.o_proj = linear(f"{name}.self_attn.o_proj")
        self.gate_proj = linear(f"{name}.mlp.gate_proj")
        self.up_proj = linear(f"{name}.mlp.up_proj")
        self.down_proj = linear(f"{name}.mlp.down_proj")
        self.norm1 = RMSNorm(weights[f"{name}.input_layernorm.weight"], config.rms_norm_eps)
        self.norm2 = RMSNorm(weights[f"{name}.post_attention_layernorm.weight"], config.rms_norm_eps)
        angles = np.arange(length, dtype=np.float32)[:, None] * inverse_frequencies(config)[None]
        self.cos, self.sin = ms.Tensor(np.cos(angles)), ms.Tensor(np.sin(angles))
        # scores of later positions are lost in this constant; finite, so that gradients stay finite
        self.mask = ms.Tensor(np.triu(np.full((length, length), -1e9, np.float32), 1))
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()
        self.softmax = ops.Softmax(-1)
        self.half = self.head_dim // 2

    def split(self, x, heads):
        """[batch * length, heads * head_dim] -> [batch, heads, length, head_dim]."""
        return x.reshape(self.shape[0], self.shape[1], heads, self.head_dim).transpose(0, 2, 1, 3)

    def rotate(self, x):
        """Rotary embedding: [batch, heads, length, head_dim] -> the same."""
        first, second = x[:, :, :, : self.half], x[:, :, :, self.half :]
        return ops.cat((first * self.cos - second * self.sin, second * self.cos + first * self.sin), -1)

    def attend(self, x):
        """Causal self-attention: [batch * length, hidden] -> the same."""
        batch, length = self.shape
        q = self.rotate(self.split(self.q_proj(x), self.heads))
        k = self.rotate(self.split(self.k_proj(x), self.kv_heads))
        v = self.split(self.v_proj(x), self.kv_heads)
        # the query heads of one key head side by side: [batch, kv_heads, groups * length, head_dim]
        q = q.reshape(batch, self.kv_heads, self.groups * length, self.head_dim)
        scores = self.scores(q, k) * (self.head_dim**-0.5)
        scores = scores.reshape(batch, self.kv_heads, self.groups, length, length) + self.mask
        p = self.softmax(scores).reshape(batch, self.kv_heads, self.groups * length, length)
        y = self.mix(p, v).reshape(batch, self.heads, length, self.head_dim).transpose(0, 2, 1, 3)
        return self.o_proj(y.reshape(batch * length, self.heads * self.head_dim))

    def construct(self, x):
        x = x + self.attend(self.norm1(x))
        h = self.norm2(x)
        return x + self.down_proj(ops.silu(self.gate_proj(h)) * self.up_proj(h))


class TrainingLM(nn.Cell):
    """A Llama or Mistral-shaped network over fixed [batch, length] token ids, parameters named as in HuggingFace.

    construct(tokens int32 [batch, length], labels int32 [batch, length]) -> mean cross-entropy in nats, float32 scalar;
    labels are the next tokens, IGNORED where a position does not count. At most `counted` positions of a batch may
    count (all by default): the others need no logits, which with a large vocabulary are much of the work.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        length: int,
        weights: dict[str, np.ndarray],
        lora: LoraSettings | None = None,
        counted: int | None = None,
    ):
        super().__init__(auto_prefix=False)
        if config.model_type not in ("llama", "mistral"):
            raise TrainingError(f"model_type: {config.model_type!r} cannot be trained here, only llama and mistral")
        if length > config.max_position_embeddings:
            limit = config.max_position_embeddings
            raise TrainingError(f"sequence_length: {length} is above the model's max_position_embeddings {limit}")
        parameters = {
            name: ms.Parameter(ms.Tensor(value), name=name, requires_grad=lora is None)
            for name, value in weights.items()
        }

        def linear(module: str) -> Linear:
            return Linear(module, parameters, config, lora)

        self.embedding = parameters["model.embed_tokens.weight"]
        blocks = [Block(i, config, batch, length, linear, parameters) for i in range(config.num_hidden_layers)]
        self.blocks = nn.CellList(blocks, auto_prefix=False)
        self.norm = RMSNorm(parameters["model.norm.weight"], config.rms_norm_eps)
        self.head = self.embedding if config.tie_word_embeddings else parameters["lm_head.weight"]
        self.vocab = config.vocab_size
        self.gather, self.matmul = ops.Gather(), ops.MatMul(transpose_b=True)
        # none where all count
        self.counted = counted if counted is not None and counted < batch * length else 0
        self.largest = ops.TopK()
        self.cross_entropy = nn.CrossEntropyLoss(ignore_index=IGNORED)

    def hidden(self, tokens):
        """States before the head, float32 [batch * length, hidden]."""
        x = self.gather(self.embedding, tokens.reshape(-1), 0)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def logits(self, tokens):
        """Logits float32 [batch * length, vocab]."""
        return self.matmul(self.hidden(tokens), self.head)

    def construct(self, tokens, labels):
        x, labels = self.hidden(tokens), labels.reshape(-1)
        if self.counted:
            places = self.largest((labels != IGNORED).astype(ms.float32), self.counted)[1]
            x, labels = self.gather(x, places, 0), self.gather(labels, places, 0)
        return self.cross_entropy(self.matmul(x, self.head), labels)


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
