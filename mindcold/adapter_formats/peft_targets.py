"""Which modules a PEFT configuration selects, with rank and scaling, by the rules of peft."""

import math
from typing import Any

from mindcold.adapter_formats.patterns import Patterns
from mindcold.config import ModelConfig
from mindcold.errors import shown
from mindcold.fields import Fields
from mindcold.model.shapes import EMBEDDING, linear_shapes

SAVED = {"lm_head": "lm_head", "embed_tokens": EMBEDDING, EMBEDDING: EMBEDDING}
"""What modules_to_save may name, and the path of the module."""

HIGHEST_ALPHA, HIGHEST_RANK = 1e12, 65536

_LAYER = r"(?:|.*?\.){}\.(?P<layer>\d+)\..*"
"""Where layers_pattern stands in the path of a module."""


class PeftTargets:
    """The selection of one adapter_config.json; errors name the field."""

    def __init__(self, fields: Fields, config: ModelConfig):
        self._fields, self._linear = fields, linear_shapes(config)
        self._patterns = Patterns(fields, list(self._linear))

    def rank_and_scaling(self, module: str) -> tuple[int, float]:
        """`r` and lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora, by rank_pattern and alpha_pattern."""
        fields = self._fields
        rank = self._own("rank_pattern", module)
        if rank is None:
            rank = fields.integer("r", 8, high=HIGHEST_RANK)
        elif not isinstance(rank, int) or rank > HIGHEST_RANK:
            raise fields.fail("rank_pattern", f"an integer up to {HIGHEST_RANK} is expected, found {shown(rank)}")
        alpha = self._own("alpha_pattern", module)
        if alpha is None:
            alpha = fields.number("lora_alpha", 8.0, high=HIGHEST_ALPHA)
        return rank, alpha / (math.sqrt(rank) if fields.flag("use_rslora") else rank)

    def _own(self, name: str, module: str) -> Any:
        """Value of `rank_pattern` or `alpha_pattern` for a module: the first key that matches its end, as in PEFT."""
        for key, value in self._fields.object(name).raw.items():
            if self._patterns.selects(name, key, module, r"(.*\.)?({})"):
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if not number or not 0 < value <= HIGHEST_ALPHA:
                    raise self._fields.fail(
                        name,
                        f"{shown(key, 60)[1:-1]}: a positive number up to {HIGHEST_ALPHA:g} is expected, "
                        f"found {shown(value)}",
                    )
                return value
        return None

    def saved(self) -> list[str]:
        """Full paths of the modules whose whole weight the adapter replaces."""
        modules = []
        for name in self._fields.names("modules_to_save") or []:
            if name not in SAVED:
                raise self._fields.fail(
                    "modules_to_save", f"{shown(name)} is not supported, only lm_head and embed_tokens"
                )
            modules.append(SAVED[name])
        return modules

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Modules with a low-rank update, by the selection rules of PEFT, with their [out, in]."""
        raw = self._fields.raw.get("target_modules")
        shapes, saved = self._linear, self.saved()
        if raw is None:
            if saved:
                return {}
            raise self._fields.fail("target_modules", "missing")
        if isinstance(raw, str) and raw.lower() == "all-linear":
            chosen = [module for module in shapes if module != "lm_head"]
        elif isinstance(raw, str):
            chosen = [module for module in shapes if self._patterns.selects("target_modules", raw, module)]
        else:
            names = self._fields.names("target_modules") or []
            if _selects(names, "model.embed_tokens"):
                raise self._fields.fail(
                    "target_modules", "embed_tokens: a low-rank update of the embedding is not supported"
                )
            chosen = [module for module in shapes if _selects(names, module) and self._in_layers(module)]
        chosen = [module for module in chosen if not self._excluded(module) and module not in saved]
        if not chosen and not saved:
            raise self._fields.fail("target_modules", f"{shown(raw)} selects no linear layer of this base model")
        return {module: shapes[module] for module in chosen}

    def _excluded(self, module: str) -> bool:
        raw = self._fields.raw.get("exclude_modules")
        if isinstance(raw, str):
            return self._patterns.selects("exclude_modules", raw, module)
        return _selects(self._fields.names("exclude_modules") or [], module)

    def _in_layers(self, module: str) -> bool:
        """Whether layers_to_transform (with layers_pattern) lets this module be adapted."""
        raw = self._fields.raw.get("layers_to_transform")
        if raw is None or raw == []:
            return True
        wanted = raw if isinstance(raw, list) else [raw]
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in wanted):
            raise self._fields.fail("layers_to_transform", f"layer numbers are expected, found {shown(raw)}")
        patterns = self._fields.raw.get("layers_pattern") or [r"[^.]*"]
        if isinstance(patterns, str):
            patterns = [patterns]
        if not isinstance(patterns, list):
            raise self._fields.fail("layers_pattern", f"a pattern or a list is expected, found {shown(patterns)}")
        for pattern in patterns:
            found, layer = self._patterns.layer("layers_pattern", pattern, module, _LAYER)
            if found:
                if layer is None:
                    raise self._fields.fail("layers_pattern", f"{shown(pattern)} leaves out the number of the layer")
                return int(layer) in wanted
        return False


def _selects(names: list[str], module: str) -> bool:
    return any(module == name or module.endswith(f".{name}") for name in names)
