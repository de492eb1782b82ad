"""What a MindFormers network is: its kind, its configuration as ours, its weights under their HuggingFace names."""

from typing import Any

import mindspore as ms
import numpy as np

from mindcold.adapter_formats import naming
from mindcold.adapter_formats.layout import row_order, sizes
from mindcold.config import ModelConfig, parse_config
from mindcold.mindformers.library import MindFormersError

LEGACY, MCORE = "legacy", "mcore"

_NAMINGS = {LEGACY: (naming.LEGACY, "interleaved"), MCORE: (naming.MCORE, "contiguous")}
"""How layers are called, and how fused ones are arranged: mcore's in prediction, whatever they were in training."""
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


def naming_of(network: Any) -> tuple[naming.Naming, str]:
    """How the layers of a network are called, and the layout of fused ones, see `mindcold.adapter_formats.layout`."""
    return _NAMINGS[kind_of(network)]


def floats(value: Any, where: str) -> np.ndarray:
    """A Tensor or Parameter as float32; MindFormersError, beginning with `where`, if it is not floating and finite."""
    if value.dtype not in _FLOATS:
        raise MindFormersError(f"{where}: dtype {value.dtype} is not supported; give model=")
    array = np.ascontiguousarray((value.float() if value.dtype == ms.bfloat16 else value).asnumpy(), np.float32)
    if not np.isfinite(array).all():
        raise MindFormersError(f"{where}: holds NaN or infinite values")
    return array


class NetworkWeights:
    """The weights of a network as a source of tensors for `mindcold.model.Weights`.

    Matrices that lie in memory as the operators want them are shared, the others are copied as they are read. Raises
    MindFormersError for a parameter that is missing, of another shape, not floating, or holds NaN.
    """

    def __init__(self, network: Any, config: ModelConfig):
        self.config = config
        self._where = type(network).__name__
        self._naming, self._layout = naming_of(network)
        self._parameters = {_plain(item.name): item for item in network.get_parameters()}

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
        self.check(name, shape)
        found, members, index = self._find(name)
        heights = self._heights(shape, members)
        whole = value = self._parameters[found]
        if len(members) > 1:
            places = np.argsort(row_order(self.config, members, self._layout))
            value = whole[ms.Tensor(places[sum(heights[:index]) :][: shape[0]])]
        value = value if end is None and not first else value[first : min(end or shape[0], shape[0])]
        return floats(value, f"{self._where}: {found}")

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a tensor that is missing or has another shape, unread."""
        found, members, index = self._find(name)
        whole = self._parameters.get(found)
        if whole is None:
            raise MindFormersError(f"{self._where}: {found}: no such parameter; {name} is read from it")
        heights = self._heights(shape, members)
        if whole.shape != (sum(heights), *shape[1:]) or heights[index] != shape[0]:
            raise MindFormersError(f"{self._where}: {found}: shape {list(whole.shape)} does not hold {list(shape)}")

    def _heights(self, shape: tuple[int, ...], members: tuple[str, ...]) -> list[int]:
        """Rows of each of the layers in a parameter."""
        return [shape[0]] if len(members) == 1 else sizes(self.config, members)

    def shared(self, names: tuple[str, ...]) -> ms.Parameter | None:
        """The Parameter that is these float32 matrices, one below the other."""
        found, members, index = self._find(names[0])
        whole, together = self._parameters.get(found), {self._find(name)[0] for name in names} == {found}
        if whole is None or whole.dtype != ms.float32 or not together or (index, len(names)) != (0, len(members)):
            return None
        order = row_order(self.config, members, self._layout) if len(members) > 1 else np.arange(1)
        return whole if (np.diff(order) == 1).all() else None

    def _find(self, name: str) -> tuple[str, tuple[str, ...], int]:
        """The parameter that holds a HuggingFace tensor, the layers that lie in it, and which of them this one is."""
        places = self._naming.places(name)
        return next((place for place in places if place[0] in self._parameters), places[0])


def _plain(name: str) -> str:
    """A parameter's name as `Naming` has it: without the prefixes of wrappers, and an embedding's like all others."""
    name = name.removeprefix("lora_model.").removeprefix("network.")
    name = name.replace("embedding_weight", "weight")
    mcore = name.startswith(("model.decoder.", "model.embedding.", "model.output_layer."))
    return name.removeprefix("model.") if mcore else name
