"""HuggingFace PEFT: adapter_model.safetensors with a pair for each linear layer, adapter_config.json."""

from pathlib import Path
from typing import Any

import numpy as np

from mindcold.adapter_formats.format import Destination, Written
from mindcold.adapter_formats.peft_targets import PeftTargets
from mindcold.adapter_formats.scaling import refuse_unsupported
from mindcold.adapter_formats.source import CONFIG_FILE, Source
from mindcold.adapter_formats.stored import StoredAdapter, StoredPair
from mindcold.adapter_formats.writing import alpha_of, as_stored
from mindcold.config import ModelConfig
from mindcold.errors import AdapterError
from mindcold.fields import Fields
from mindcold.files import write_json, write_tensors
from mindcold.model.shapes import EMBEDDING, linear_shapes

PREFIX = "base_model.model."
_HINT = "this adapter was made for another base model"


class Peft:
    """Pairs by rank_pattern and alpha_pattern, and whole weights by modules_to_save."""

    name = "peft"
    example = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    layouts: tuple[str, ...] = ()

    def is_lora(self, name: str) -> bool:
        """All tensors of an adapter are below the prefix."""
        return name.startswith(PREFIX)

    def claims(self, names: frozenset[str]) -> bool:
        """Whether any tensor is below the prefix."""
        return any(map(self.is_lora, names))

    def read(self, source: Source, config: ModelConfig, layout: str | None, lora_alpha: float | None) -> StoredAdapter:
        """The modules that adapter_config.json selects, all of them and no other."""
        if lora_alpha is not None:
            raise AdapterError(f"lora_alpha: {source.config_file} says it for a PEFT adapter; leave it out")
        path = source.config_file
        fields = Fields.of_file(path, AdapterError)
        refuse_unsupported(fields)
        targets, pairs, used = PeftTargets(fields, config), {}, set()
        for module, (out_size, in_size) in targets.shapes().items():
            rank, scaling = targets.rank_and_scaling(module)
            names = [f"{PREFIX}{module}.lora_{side}.weight" for side in "AB"]
            for item in names:
                if item not in source.files:
                    raise source.fail(item, f"missing, target_modules of {path.name} asks for it")
            a = source.files[names[0]].tensor(names[0], (rank, in_size), _HINT)
            b = source.files[names[1]].tensor(names[1], (out_size, rank), _HINT)
            pairs[module] = StoredPair(a, b, scaling)
            used.update(names)
        replaced = {}
        saved = targets.saved()
        for module in (EMBEDDING, "lm_head"):
            # peft also writes the whole weight, as base_layer, where the module is a LoRA target
            leaves = ("weight", "base_layer.weight")
            items = [item for leaf in leaves if (item := f"{PREFIX}{module}.{leaf}") in source.files]
            for item in items:
                replaced[module] = source.files[item].tensor(item, (config.vocab_size, config.hidden_size), _HINT)
                used.add(item)
            if module in saved and not items:
                item = f"{PREFIX}{module}.weight"
                raise source.fail(item, f"missing, modules_to_save of {path.name} asks for it")
        extra = sorted(source.files.keys() - used)
        if extra:
            raise source.fail(extra[0], f"not a module that {path.name} selects in this base model")
        return StoredAdapter(pairs, source.dtype(used), replaced)

    def write(self, adapter: StoredAdapter, config: ModelConfig, destination: Destination) -> Written:
        """Every module keeps its own rank and alpha."""
        tensors: dict[str, np.ndarray] = {}
        for module, pair in adapter.pairs.items():
            tensors |= {f"{PREFIX}{module}.lora_A.weight": pair.a, f"{PREFIX}{module}.lora_B.weight": pair.b}
        tensors |= {f"{PREFIX}{module}.weight": value for module, value in adapter.replaced.items()}
        stored = as_stored(tensors, adapter.dtype)
        ranks = {module: pair.rank for module, pair in adapter.pairs.items()}
        alphas = {module: alpha_of(pair.scaling, pair.rank) for module, pair in adapter.pairs.items()}
        rank, alpha = (
            (ranks[first], alphas[first]) if (first := max(ranks, key=ranks.__getitem__, default="")) else (8, 8)
        )
        fields = {
            "r": rank,
            "lora_alpha": alpha,
            "lora_dropout": 0.0,
            "target_modules": _selection(list(adapter.pairs), config),
            "modules_to_save": [module.rsplit(".", 1)[-1] for module in adapter.replaced] or None,
            "rank_pattern": {_pattern(module): own for module, own in ranks.items() if own != rank},
            "alpha_pattern": {_pattern(module): own for module, own in alphas.items() if own != alpha},
        }
        save(destination.folder, stored, destination.base, fields)
        return Written(rank, alpha)


def save(folder: Path, tensors: dict[str, np.ndarray], base: str, fields: dict[str, Any]) -> None:
    """The two files of an adapter folder; `fields` of adapter_config.json say ranks, alphas and modules."""
    write_tensors(folder / "adapter_model.safetensors", tensors)
    content = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        **fields,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    write_json(folder / CONFIG_FILE, content)


def _pattern(module: str) -> str:
    """A key of rank_pattern that is this module alone."""
    return module.replace(".", r"\.")


def _selection(modules: list[str], config: ModelConfig) -> list[str] | None:
    """target_modules: last names where they select these modules and no other, else whole paths."""
    if not modules:
        return None
    leaves = sorted({module.rsplit(".", 1)[-1] for module in modules})
    selected = [module for module in linear_shapes(config) if module.rsplit(".", 1)[-1] in leaves]
    return leaves if set(selected) == set(modules) else modules
