"""What MindFormers calls the layers of a network, and which HuggingFace layers they are."""

import re
from dataclasses import dataclass

from mindcold.model.shapes import FUSED


@dataclass(frozen=True, slots=True)
class Naming:
    """The layers of one kind of network."""

    layers: str
    """Path of the list of decoder layers."""
    linears: dict[str, tuple[str, ...]]
    """Path within a decoder layer to the HuggingFace paths of what it consists of."""
    head: str
    others: dict[str, str]
    """HuggingFace path of what is no linear layer, without its decoder layer, to the path here."""
    prefix: str = ""
    """Regular expression of what may stand in front of the path."""

    def parse(self, path: str) -> tuple[int | None, tuple[str, ...]] | None:
        """Number of the decoder layer (None for the head) and HuggingFace paths of a linear layer; None for others."""
        found = re.fullmatch(rf"{self.prefix}{re.escape(self.layers)}\.(\d{{1,9}})\.(.+)", path)
        if found:
            members = self.linears.get(found[2])
            return (int(found[1]), members) if members else None
        return (None, ("lm_head",)) if re.fullmatch(self.prefix + re.escape(self.head), path) else None

    def places(self, name: str) -> list[tuple[str, tuple[str, ...], int]]:
        """Where a tensor with a HuggingFace name may lie: its name here, the layers that are in it, and which it is.

        What is no linear layer of a decoder layer is alone.
        """
        path, _, kind = name.rpartition(".")
        found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", path)
        start, path = (f"{self.layers}.{found[1]}.", found[2]) if found else ("", path)
        if path == "lm_head":
            return [(f"{self.head}.{kind}", (path,), 0)]
        if path in self.others:
            return [(f"{start}{self.others[path]}.{kind}", (path,), 0)]
        return [
            (f"{start}{here}.{kind}", members, members.index(path))
            for here, members in self.linears.items()
            if path in members
        ]

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
    {
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "model.norm": "model.norm_out",
        "model.embed_tokens": "model.tok_embeddings",
    },
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
    {
        "self_attn.q_norm": "self_attention.q_layernorm",
        "self_attn.k_norm": "self_attention.k_layernorm",
        "input_layernorm": "input_layernorm",
        "post_attention_layernorm": "pre_mlp_layernorm",
        "model.norm": "decoder.final_layernorm",
        "model.embed_tokens": "embedding.word_embeddings",
    },
    prefix=r"(?:model\.)?",
)
"""GPTModel, the network of Qwen2 and Qwen3, in graph mode and in PyNative mode."""
