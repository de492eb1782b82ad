"""What a MindFormers network is: its kind, its configuration as ours, its weights under their HuggingFace names."""

from typing import Any

import mindspore as ms
import numpy as np

from mindcold.config import ModelConfig, parse_config
from mindcold.mindformers.library import MindFormersError
from mindcold.model.shapes import FUSED, weight_shapes

LEGACY, MCORE = "legacy", "mcore"

_LEGACY_NAMES = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.norm": "model.norm_out",
    "model.embed_tokens.weight": "model.tok_embeddings.embedding_weight",
}
_LEGACY_FUSED = {"self_attn.qkv_proj": "attention.w_qkv", "mlp.gate_up_proj": "feed_forward.w_gate_hidden"}
_MCORE_NAMES = {
    "self_attn.o_proj": "self_attention.linear_proj",
    "self_attn.q_norm": "self_attention.q_layernorm",
    "self_attn.k_norm": "self_attention.k_layernorm",
    "mlp.down_proj": "mlp.linear_fc2",
    "post_attention_layernorm": "pre_mlp_layernorm",
    "model.layers": "decoder.layers",
    "model.norm": "decoder.final_layernorm",
    "model.embed_tokens": "embedding.word_embeddings",
    "lm_head": "output_layer",
}
_MCORE_FUSED = {"self_attn.qkv_proj": "self_attention.linear_qkv", "mlp.gate_up_proj": "mlp.linear_fc1"}
_NAMES = {LEGACY: (_LEGACY_NAMES, _LEGACY_FUSED), MCORE: (_MCORE_NAMES, _MCORE_FUSED)}
_FLOATS = {ms.float32: "F32", ms.float16: "F16", ms.bfloat16: "BF16"}


def unwrapped(network: Any) -> Any:
    """The language model inside a network of `get_pet_model`, or the network itself."""
    while type(network).__name__ in ("PetModel", "LoraModel"):
        network = network.network
    return network


def kind_of(network: Any) -> str:
    """ "legacy" for LlamaForCausalLM, "mcore" for the inference networks of Qwen2 and Qwen3; MindFormersError else."""
    network = unwrapped(network)
    names = {base.__name__ for base in type(network).__mro__}
    if "LlamaForCausalLM" in names:
        return LEGACY
    if {"InferenceQwen2ForCausalLM", "InferenceQwen3ForCausalLM"} & names:
        return MCORE
    raise MindFormersError(
        f"network: {type(network).__name__} is not one of LlamaForCausalLM, InferenceQwen2ForCausalLM, "
        "InferenceQwen3ForCausalLM; give the HuggingFace folder of its weights as model="
    )


def config_of(network: Any) -> ModelConfig:
    """The configuration of a network as ours; MindFormersError names the field that is not supported."""
    network = unwrapped(network)
    where = f"{type(network).__name__}.config"
    if kind_of(network) == MCORE:
        raw = network.config.to_dict()
        raw["model_type"] = raw["model_type"].lower()  # "Qwen2"
        return parse_config({name: raw[name] for name in _HF_FIELDS if name in raw}, where)
    return parse_config(_legacy_fields(network, where), where)


_HF_FIELDS = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "rope_theta",
    "rope_scaling",
    "attention_bias",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "layer_types",
    "bos_token_id",
    "eos_token_id",
)


def _legacy_fields(network: Any, where: str) -> dict[str, Any]:
    """A LlamaConfig in the spelling of HuggingFace."""
    config = network.config
    inner = next((item for item in network.get_parameters() if item.name.endswith("feed_forward.w2.weight")), None)
    if inner is None:
        raise MindFormersError(f"{where}: no feed_forward.w2 among its parameters; networks with experts are not read")
    raw = {
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": inner.shape[1],
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.n_kv_heads or config.num_heads,
        "max_position_embeddings": config.max_position_embedding or config.seq_length,
        "rms_norm_eps": config.rms_norm_eps,
        "tie_word_embeddings": bool(config.tie_word_embeddings),
        "rope_theta": float(config.theta),
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
    }
    if config.qkv_has_bias and not config.attn_proj_has_bias:
        raw["model_type"] = "qwen2"
    elif config.qkv_has_bias:
        raw["attention_bias"] = True
    elif config.attn_proj_has_bias:
        raise MindFormersError(f"{where}: attn_proj_has_bias: not supported without qkv_has_bias")
    method = getattr(config.extend_method, "value", config.extend_method) or "None"
    if method == "PI":
        raw["rope_scaling"] = {"rope_type": "linear", "factor": float(config.scaling_factor)}
    elif method == "LLAMA3":
        raw["rope_scaling"] = {"rope_type": "llama3", **config.scaling_factor}
    elif method != "None":
        raise MindFormersError(f"{where}: extend_method: {method!r} is not supported, only None, PI and LLAMA3")
    return raw


class NetworkWeights:
    """The weights of a network as a source of tensors for `mindcold.model.Weights`.

    Matrices that lie in memory as the operators want them are shared, the others are copied as they are read. Raises
    MindFormersError for a parameter that is missing, of another shape, not floating, or holds NaN.
    """

    def __init__(self, network: Any, config: ModelConfig):
        self.config = config
        self._where = type(network).__name__
        self._renamed, self._fused = _NAMES[kind_of(network)]
        self._parameters = {_plain(item.name): item for item in network.get_parameters()}
        self._shapes = weight_shapes(config)

    @property
    def stored_dtype(self) -> str:
        """The one type all matrices have, as safetensors names it, else "mixed"."""
        kinds = {item.dtype for item in self._parameters.values() if item.ndim == 2}
        return _FLOATS.get(kinds.pop(), "mixed") if len(kinds) == 1 else "mixed"

    def tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Tensor `name` as float32 of exactly this shape."""
        return self.rows(name, shape, 0, None)

    def rows(self, name: str, shape: tuple[int, ...], first: int, end: int | None) -> np.ndarray:
        """Lines first .. end - 1 of a tensor that has exactly this shape, float32."""
        found, at = self._find(name)
        whole = self._parameters.get(found)
        if whole is None:
            raise MindFormersError(f"{self._where}: {found}: no such parameter; {name} is read from it")
        if whole.dtype not in _FLOATS:
            raise MindFormersError(f"{self._where}: {found}: dtype {whole.dtype} is not supported; give model=")
        start = sum(self._shapes[part][0] for part in at[:-1])
        if whole.shape[1:] != shape[1:] or (
            whole.shape[0] != shape[0] if not at else whole.shape[0] < start + shape[0]
        ):
            raise MindFormersError(f"{self._where}: {found}: shape {list(whole.shape)} does not hold {list(shape)}")
        stop = start + min(shape[0], shape[0] if end is None else end)
        value = whole[start + first : stop] if (start + first, stop) != (0, whole.shape[0]) else whole
        array = np.ascontiguousarray(
            value.asnumpy() if value.dtype != ms.bfloat16 else value.float().asnumpy(), np.float32
        )
        if not np.isfinite(array).all():
            raise MindFormersError(f"{self._where}: {found}: holds NaN or infinite values")
        return array

    def shared(self, names: tuple[str, ...]) -> ms.Parameter | None:
        """The Parameter that is these float32 matrices, one below the other."""
        found = {self._find(name)[0] for name in names}
        whole = self._parameters.get(found.pop()) if len(found) == 1 else None
        return whole if whole is not None and whole.dtype == ms.float32 else None

    def _find(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The name in the network of a HuggingFace tensor, and the parts of the fused layer it is in, itself last."""
        for fused, parts in FUSED.items():
            for i, part in enumerate(parts):
                if part in name and fused in self._fused:
                    whole = _renamed(name.replace(part, self._fused[fused]), self._renamed)
                    if whole in self._parameters:
                        return whole, tuple(name.replace(part, item) for item in parts[: i + 1])
        return _renamed(name, self._renamed), ()


def _renamed(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def _plain(name: str) -> str:
    """A parameter's name without the prefixes that wrappers of the network put before it."""
    name = name.removeprefix("lora_model.").removeprefix("network.")
    mcore = name.startswith(("model.decoder.", "model.embedding.", "model.output_layer."))
    return name.removeprefix("model.") if mcore else name
