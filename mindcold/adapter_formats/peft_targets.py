"""Which modules a PEFT configuration selects, with rank and scaling, by the rules of peft."""

import math
import re
from typing import Any

from mindcold.config import ModelConfig
from mindcold.fields import Fields
from mindcold.model.shapes import linear_shapes


def _pattern(fields: Fields, name: str, module: str) -> Any:
    """Value of `rank_pattern` or `alpha_pattern` for a module: the first key that matches its end, as PEFT does."""
    for key, value in fields.object(name).raw.items():
        if re.match(rf"(.*\.)?({_checked(fields, name, key)})$", module):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
                raise fields.fail(name, f"{key}: a positive number is expected, found {value!r}")
            return value
    return None


def rank_and_scaling(fields: Fields, module: str) -> tuple[int, float]:
    """`r` and lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora, by rank_pattern and alpha_pattern."""
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


def modules_to_save(fields: Fields) -> list[str]:
    """Full paths of the modules whose whole weight the adapter replaces."""
    known = {"lm_head": "lm_head", "embed_tokens": "model.embed_tokens", "model.embed_tokens": "model.embed_tokens"}
    modules = []
    for name in fields.names("modules_to_save") or []:
        if name not in known:
            raise fields.fail("modules_to_save", f"{name!r} is not supported, only lm_head and embed_tokens")
        modules.append(known[name])
    return modules


def target_shapes(fields: Fields, config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Modules with a low-rank update, by the selection rules of PEFT, with their [out, in]."""
    raw = fields.raw.get("target_modules")
    shapes = linear_shapes(config)
    saved = modules_to_save(fields)
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
