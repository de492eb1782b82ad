"""What a model folder says about its architecture: `config.json` read into one frozen `ModelConfig`."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mindcold.errors import ModelError, shown
from mindcold.fields import Fields
from mindcold.files import is_file

_ATTENTIONS = ("full_attention", "sliding_attention")
ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")
"""The `model_type` values of HuggingFace folders that can be decoded."""


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary embedding: base `theta` and the scaling of its frequencies ("default", "linear" or "llama3")."""

    theta: float = 10000.0
    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a causal language model, under the field names of `transformers`."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    """Bias on q, k and v."""
    output_bias: bool = False
    """Bias on the attention output projection."""
    mlp_bias: bool = False
    qk_norm: bool = False
    sliding_window: tuple[int, ...] = ()
    """Window of each layer in tokens, 0 for full attention; empty means full attention everywhere."""
    rope: RopeConfig = field(default_factory=RopeConfig)
    dtype: str = "float32"
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()

    def window(self, layer: int) -> int:
        """Sliding window of one layer in tokens, 0 for full attention."""
        return self.sliding_window[layer] if self.sliding_window else 0

    @classmethod
    def from_folder(cls, folder: str | Path) -> "ModelConfig":
        """Read `config.json` (and the end-of-text ids of `generation_config.json`) of a HuggingFace model folder.

        Raises ModelError, naming the file and the field, for what is missing, malformed or not supported.
        """
        folder = Path(folder)
        path = folder / "config.json"
        config = _parse(Fields.of_file(path))
        generation = folder / "generation_config.json"
        if is_file(generation, ModelError):
            eos = Fields.of_file(generation).token_ids("eos_token_id", config.vocab_size)
            if eos:
                config = replace(config, eos_token_ids=eos)
        return config

    def to_hf(self) -> dict[str, Any]:
        """The `config.json` content of this configuration, in the spelling every `transformers` since 4.40 reads."""
        raw = asdict(self)
        rope, eos = raw.pop("rope"), raw.pop("eos_token_ids")
        for key in ("dtype", "sliding_window", "qk_norm", "output_bias"):
            raw.pop(key)
        names = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
        names |= {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
        raw |= {
            "architectures": [names[self.model_type]],
            "hidden_act": "silu",
            "rope_theta": rope["theta"],
            "torch_dtype": self.dtype,
            "eos_token_id": list(eos) if len(eos) > 1 else (eos[0] if eos else None),
        }
        if rope["kind"] != "default":
            raw["rope_scaling"] = {k: v for k, v in rope.items() if k not in ("theta", "kind")}
            raw["rope_scaling"]["rope_type"] = rope["kind"]
        if self.model_type == "mistral":
            raw["sliding_window"] = self.window(0) or None
        return raw


def parse_config(raw: dict[str, Any], where: str) -> ModelConfig:
    """Turn the content of a `config.json` into a ModelConfig; `where` names the file in errors."""
    return _parse(Fields(raw, where))


def _parse(fields: Fields) -> ModelConfig:
    raw = fields.raw
    model_type = fields.text("model_type", "")
    if model_type not in ARCHITECTURES:
        raise fields.fail("model_type", f"{shown(model_type or None)} is not one of {', '.join(ARCHITECTURES)}")
    if fields.text("hidden_act", "silu") not in ("silu", "swish"):
        raise fields.fail("hidden_act", f"{shown(raw['hidden_act'])} is not supported, only silu")
    if raw.get("quantization_config"):
        raise fields.fail("quantization_config", "quantised checkpoints are not supported; give the full weights")
    heads = fields.integer("num_attention_heads")
    hidden = fields.integer("hidden_size")
    layers = fields.integer("num_hidden_layers", high=4096)
    key_value = fields.integer("num_key_value_heads", heads)
    if heads % key_value:
        raise fields.fail("num_key_value_heads", f"{key_value} does not divide num_attention_heads {heads}")
    head_dim = fields.integer("head_dim", 128 if model_type == "qwen3" else max(1, hidden // heads))
    if head_dim % 2:
        raise fields.fail("head_dim", f"{head_dim} is odd; rotary embeddings need an even size")
    bias = fields.flag("attention_bias", model_type == "qwen2") or model_type == "qwen2"
    vocab = fields.integer("vocab_size")
    bos = fields.token_ids("bos_token_id", vocab)
    return ModelConfig(
        model_type=model_type,
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=fields.integer("intermediate_size"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value,
        head_dim=head_dim,
        max_position_embeddings=fields.integer("max_position_embeddings", 2048),
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6, high=1.0),
        tie_word_embeddings=fields.flag("tie_word_embeddings"),
        attention_bias=bias and model_type != "mistral",
        output_bias=bias and model_type in ("llama", "qwen3"),
        mlp_bias=fields.flag("mlp_bias") and model_type == "llama",
        qk_norm=model_type == "qwen3",
        sliding_window=_sliding_window(fields, model_type, layers),
        rope=_rope(fields),
        dtype=fields.text("dtype", fields.text("torch_dtype", "float32")),
        bos_token_id=bos[0] if bos else None,
        eos_token_ids=fields.token_ids("eos_token_id", vocab),
    )


def _sliding_window(fields: Fields, model_type: str, layers: int) -> tuple[int, ...]:
    """Window per layer as `transformers` derives it from sliding_window, use_sliding_window and layer_types."""
    if model_type == "llama" or fields.raw.get("sliding_window", 0) is None:
        return ()
    if model_type == "mistral":
        return (fields.integer("sliding_window", 4096, low=0),) * layers
    if not fields.flag("use_sliding_window"):
        return ()
    window = fields.integer("sliding_window", 4096)
    types = fields.raw.get("layer_types")
    if types is None:
        first = fields.integer("max_window_layers", 28, low=0)
        return tuple(window if i >= first else 0 for i in range(layers))
    if not isinstance(types, list) or len(types) != layers or any(kind not in _ATTENTIONS for kind in types):
        raise fields.fail("layer_types", f"{layers} values full_attention or sliding_attention are expected")
    return tuple(window if kind == "sliding_attention" else 0 for kind in types)


def _rope(fields: Fields) -> RopeConfig:
    """Rotary settings in the old spelling (rope_theta, rope_scaling) or the new one (rope_parameters)."""
    name = "rope_parameters" if fields.raw.get("rope_parameters") is not None else "rope_scaling"
    rope = fields.object(name)
    theta = rope.number("rope_theta", fields.number("rope_theta", 10000.0))
    kind = rope.text("rope_type", rope.text("type", "default"))
    for scope in (fields, rope):
        if scope.raw.get("partial_rotary_factor") not in (None, 1, 1.0):
            raise scope.fail("partial_rotary_factor", "partial rotary embeddings are not supported")
    if kind == "default":
        return RopeConfig(theta)
    factor = rope.number("factor")
    if kind == "linear":
        return RopeConfig(theta, kind, factor)
    if kind == "llama3":
        low = rope.number("low_freq_factor")
        high = rope.number("high_freq_factor")
        if high <= low:
            raise rope.fail("high_freq_factor", f"{high:g} is not above low_freq_factor {low:g}")
        original = rope.integer("original_max_position_embeddings")
        return RopeConfig(theta, kind, factor, low, high, original)
    raise rope.fail("rope_type", f"{shown(kind)} is not supported, only default, linear and llama3")
