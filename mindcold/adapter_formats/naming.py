"""What MindFormers calls the linear layers of a network, and which HuggingFace layers they are."""

import re
from dataclasses import dataclass

from mindcold.model.shapes import FUSED


@dataclass(frozen=True, slots=True)
class Naming:
    """The linear layers of one kind of network."""

    layers: str
    """Path of the list of decoder layers."""
    linears: dict[str, tuple[str, ...]]
    """Path within a decoder layer to the HuggingFace paths of what it consists of."""
    head: str
    prefix: str = ""
    """Regular expression of what may stand in front of the path."""

    def parse(self, path: str) -> tuple[int | None, tuple[str, ...]] | None:
        """Number of the decoder layer (None for the head) and HuggingFace paths of a linear layer; None for others."""
        found = re.fullmatch(rf"{self.prefix}{re.escape(self.layers)}\.(\d{{1,9}})\.(.+)", path)
        if found:
            members = self.linears.get(found[2])
            return (int(found[1]), members) if members else None
        return (None, ("lm_head",)) if re.fullmatch(self.prefix + re.escape(self.head), path) else None

    def layer_of(self, name: str) -> int | None:
        """Number of the decoder layer that a tensor of any kind belongs to."""
        found = re.match(rf"{self.prefix}{re.escape(self.layers)}\.(\d{{1,9}})\.", name)
        return int(found[1]) if found else None

    def written(self) -> dict[str, tuple[str, ...]]:
        """The linear layers to write: fused ones only where the network has no others."""
        single = {members[0] for members in self.linears.values() if len(members) == 1}
        return {
            path: members for path, members in self.linears.items() if len(members) == 1 or members[0] not in single
        }


_QKV, _GATE_UP = FUSED.values()

LEGACY = Naming(
    "model.layers",
    {
        "attention.wq": ("self_attn.q_proj",),
        "attention.wk": ("self_attn.k_proj",),
        "attention.wv": ("self_attn.v_proj",),
        "attention.wo": ("self_attn.o_proj",),
        "feed_forward.w1": ("mlp.gate_proj",),
        "feed_forward.w3": ("mlp.up_proj",),
        "feed_forward.w2": ("mlp.down_proj",),
        "attention.w_qkv": _QKV,
        "feed_forward.w_gate_hidden": _GATE_UP,
    },
    "lm_head",
)
"""LlamaForCausalLM; the last two are its layers with `qkv_concat`."""

MCORE = Naming(
    "decoder.layers",
    {
        "self_attention.linear_qkv": _QKV,
        "self_attention.linear_proj": ("self_attn.o_proj",),
        "mlp.linear_fc1": _GATE_UP,
        "mlp.linear_fc2": ("mlp.down_proj",),
    },
    "output_layer",
    prefix=r"(?:model\.)?",
)
"""GPTModel, the network of Qwen2 and Qwen3, in graph mode and in PyNative mode."""
