"""The base weights as MindSpore Parameters, made once and shared by every graph."""

import mindspore as ms
import numpy as np

from mindcold.adapter import linear_shapes
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig


class Weights:
    """The base weights of a model by HuggingFace name, float32 Parameters.

    Raises ModelError when a tensor is missing, has another shape or holds NaN.
    """

    def __init__(self, checkpoint: Checkpoint):
        self.config = checkpoint.config
        self._parameters = {}
        for name, shape in weight_shapes(checkpoint.config).items():
            self._parameters[name] = parameter(checkpoint.tensor(name, shape), name)

    def __getitem__(self, name: str) -> ms.Parameter:
        return self._parameters[name]

    def get(self, name: str) -> ms.Parameter | None:
        return self._parameters.get(name)

    @property
    def lm_head(self) -> ms.Parameter:
        """The output projection [vocab, hidden]; the embedding itself when the two are tied."""
        tied = self.config.tie_word_embeddings
        return self["model.embed_tokens.weight" if tied else "lm_head.weight"]

    @property
    def count(self) -> int:
        """Number of scalars."""
        return sum(int(np.prod(item.shape)) for item in self._parameters.values())


def parameter(value: np.ndarray, name: str) -> ms.Parameter:
    """A Parameter that is never trained, over the array's own memory where it can be shared."""
    return ms.Parameter(ms.Tensor.from_numpy(np.ascontiguousarray(value)), name=name, requires_grad=False)


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """HuggingFace tensor name to shape of everything the architecture needs."""
    hidden = (config.hidden_size,)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab_size, config.hidden_size)}
    for module, (out_size, in_size) in linear_shapes(config).items():
        if module == "lm_head" and config.tie_word_embeddings:
            continue
        shapes[f"{module}.weight"] = (out_size, in_size)
        if has_bias(config, module):
            shapes[f"{module}.bias"] = (out_size,)
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}."
        shapes |= {f"{layer}input_layernorm.weight": hidden, f"{layer}post_attention_layernorm.weight": hidden}
        if config.qk_norm:
            head = (config.head_dim,)
            shapes |= {f"{layer}self_attn.q_norm.weight": head, f"{layer}self_attn.k_norm.weight": head}
    return shapes | {"model.norm.weight": hidden}


def has_bias(config: ModelConfig, module: str) -> bool:
    """Whether a linear layer of this architecture has a bias."""
    leaf = module.rsplit(".", 1)[-1]
    if leaf in ("q_proj", "k_proj", "v_proj"):
        return config.attention_bias
    if leaf == "o_proj":
        return config.output_bias
    return config.mlp_bias and leaf != "lm_head"
