"""A LoRA adapter in PEFT format: `adapter_config.json` and `adapter_model.safetensors` read into one `Adapter`."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mindcold.checkpoint import SafetensorsFile, find_safetensors
from mindcold.config import ModelConfig
from mindcold.errors import AdapterError
from mindcold.fields import Fields
from mindcold.model.shapes import linear_shapes

PREFIX = "base_model.model."

# Fields that change what the adapter computes and that this library does not have; anything but "off" is refused.
_UNSUPPORTED = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "ensure_weight_tying",
)
# Initialisations that also change the base weights when PEFT loads the adapter.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga", "mica")


@dataclass(frozen=True, slots=True)
class LoraPair:
    """The low-rank update of one linear layer: `a` float32 [rank, in], `b` float32 [out, rank], scaling included."""

    a: np.ndarray
    b: np.ndarray


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter: low-rank pairs by module path, and whole weights that replace the embedding or the lm_head."""

    name: str
    rank: int
    """Largest rank of its modules, 0 if it only replaces weights."""
    pairs: dict[str, LoraPair] = field(repr=False)
    replaced: dict[str, np.ndarray] = field(repr=False)
    """`model.embed_tokens` or `lm_head` to float32 [vocab, hidden]."""

    @classmethod
    def from_folder(cls, folder: str | Path, config: ModelConfig, name: str = "default") -> "Adapter":
        """Read a PEFT LoRA folder made for a base model of shape `config`.

        Scaling is lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora, per module by
        rank_pattern and alpha_pattern.
        Raises AdapterError, naming the file and the field, for what is missing, damaged, set but not supported, or
        made for another base.
        """
        folder = Path(folder)
        path = folder / "adapter_config.json"
        fields = Fields.of_file(path, AdapterError)
        _refuse_unsupported(fields)
        file = SafetensorsFile(find_safetensors(folder, "adapter_model", AdapterError)[0], AdapterError)
        targets = _targets(fields, config)
        hint = "this adapter was made for another base model"
        pairs, used = {}, set()
        for module, (out_size, in_size) in targets.items():
            rank, scaling = _rank_and_scaling(fields, module)
            names = [f"{PREFIX}{module}.lora_{side}.weight" for side in "AB"]
            for item in names:
                if item not in file.names:
                    raise AdapterError(f"{file.path}: {item}: missing, target_modules of {path.name} asks for it")
            a = file.tensor(names[0], (rank, in_size), hint)
            b = file.tensor(names[1], (out_size, rank), hint)
            pairs[module] = LoraPair(a, b * np.float32(scaling))
            used.update(names)
        replaced = {}
        saved = _modules_to_save(fields)
        for module in ("model.embed_tokens", "lm_head"):
            # peft also writes the whole weight, as base_layer, where the module is a LoRA target
            items = [
                item for leaf in ("weight", "base_layer.weight") if (item := f"{PREFIX}{module}.{leaf}") in file.names
            ]
            for item in items:
                replaced[module] = file.tensor(item, (config.vocab_size, config.hidden_size), hint)
                used.add(item)
            if module in saved and not items:
                item = f"{PREFIX}{module}.weight"
                raise AdapterError(f"{file.path}: {item}: missing, modules_to_save of {path.name} asks for it")
        extra = sorted(file.names - used)
        if extra:
            raise AdapterError(f"{file.path}: {extra[0]}: not a module that {path.name} selects in this base model")
        return cls(name, max((pair.a.shape[0] for pair in pairs.values()), default=0), pairs, replaced)


def _refuse_unsupported(fields: Fields) -> None:
    kind = fields.text("peft_type", "")
    if kind.upper() != "LORA":
        raise fields.fail("peft_type", f"{kind or None!r} is not supported, only LORA")
    for name in _UNSUPPORTED:
        if fields.raw.get(name):
            raise fields.fail(name, f"{fields.raw[name]!r} is set, and this is not supported")
    if fields.text("bias", "none") != "none":
        raise fields.fail("bias", f"{fields.raw['bias']!r} is set, and only 'none' is supported")
    init = fields.raw.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_CHANGES_BASE):
        raise fields.fail("init_lora_weights", f"{init!r} changes the base weights; convert the adapter to plain LoRA")


def _pattern(fields: Fields, name: str, module: str) -> Any:
    """Value of `rank_pattern` or `alpha_pattern` for a module: the first key that matches its end, as PEFT does."""
    for key, value in fields.object(name).raw.items():
        if re.match(rf"(.*\.)?({_checked(fields, name, key)})$", module):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise fields.fail(name, f"{key}: a positive number is expected, found {value!r}")
            return value
    return None


def _rank_and_scaling(fields: Fields, module: str) -> tuple[int, float]:
    rank = _pattern(fields, "rank_pattern", module) or fields.integer("r", 8, high=65536)
    if not isinstance(rank, int):
        raise fields.fail("rank_pattern", f"an integer is expected, found {rank!r}")
    alpha = _pattern(fields, "alpha_pattern", module) or fields.number("lora_alpha", 8.0)
    return rank, alpha / (math.sqrt(rank) if fields.flag("use_rslora") else rank)


def _checked(fields: Fields, name: str, pattern: Any) -> str:
    """A regular expression of the file, refused in one line when it is not one."""
    if not isinstance(pattern, str) or len(pattern) > 10_000:
        raise fields.fail(name, f"a string of up to 10000 characters is expected, found {str(pattern)[:50]!r}")
    try:
        re.compile(pattern)
    except re.error as error:
        raise fields.fail(name, f"{pattern[:50]!r} is not a regular expression ({error})") from None
    return pattern


def _selects(names: list[str], module: str) -> bool:
    return any(module == name or module.endswith(f".{name}") for name in names)


def _modules_to_save(fields: Fields) -> list[str]:
    """Full paths of the modules whose whole weight the adapter replaces."""
    known = {"lm_head": "lm_head", "embed_tokens": "model.embed_tokens", "model.embed_tokens": "model.embed_tokens"}
    modules = []
    for name in fields.names("modules_to_save") or []:
        if name not in known:
            raise fields.fail("modules_to_save", f"{name!r} is not supported, only lm_head and embed_tokens")
        modules.append(known[name])
    return modules


def _targets(fields: Fields, config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Modules with a low-rank update, by the selection rules of PEFT, with their [out, in]."""
    raw = fields.raw.get("target_modules")
    shapes = linear_shapes(config)
    saved = _modules_to_save(fields)
    if raw is None:
        if saved:
            return {}
        raise fields.fail("target_modules", "missing")
    if isinstance(raw, str) and raw.lower() == "all-linear":
        chosen = [module for module in shapes if module != "lm_head"]
    elif isinstance(raw, str):
        pattern = _checked(fields, "target_modules", raw)
        chosen = [module for module in shapes if re.fullmatch(pattern, module)]
    else:
        names = fields.names("target_modules") or []
        if _selects(names, "model.embed_tokens"):
            raise fields.fail("target_modules", "embed_tokens: a low-rank update of the embedding is not supported")
        chosen = [module for module in shapes if _selects(names, module) and _in_layers(fields, module)]
    chosen = [module for module in chosen if not _excluded(fields, module) and module not in saved]
    if not chosen and not saved:
        raise fields.fail("target_modules", f"{raw!r} selects no linear layer of this base model")
    return {module: shapes[module] for module in chosen}


def _excluded(fields: Fields, module: str) -> bool:
    raw = fields.raw.get("exclude_modules")
    if isinstance(raw, str):
        return re.fullmatch(_checked(fields, "exclude_modules", raw), module) is not None
    return _selects(fields.names("exclude_modules") or [], module)


def _in_layers(fields: Fields, module: str) -> bool:
    """Whether layers_to_transform (with layers_pattern) lets this module be adapted."""
    raw = fields.raw.get("layers_to_transform")
    if raw is None or raw == []:
        return True
    wanted = raw if isinstance(raw, list) else [raw]
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in wanted):
        raise fields.fail("layers_to_transform", f"layer numbers are expected, found {raw!r}")
    patterns = fields.raw.get("layers_pattern") or [r"[^.]*"]
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        found = re.match(rf"(?:^|.*?\.){_checked(fields, 'layers_pattern', pattern)}\.(\d+)\.", module)
        if found:
            return int(found.group(1)) in wanted
    return False
