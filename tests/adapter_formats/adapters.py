"""Adapters for tests: random pairs for every linear layer of a decoder, in PEFT's folder."""

import numpy as np
from safetensors.numpy import save_file

from mindcold.model.shapes import linear_shapes
from tests.folders import write_json


def random_pairs(config, rank=4, seed=1, modules=None):
    """HuggingFace module path to A and B."""
    rng = np.random.default_rng(seed)
    found = {}
    for module, (out_size, in_size) in linear_shapes(config).items():
        if module in modules if modules is not None else module != "lm_head":
            a, b = (0.3 * rng.standard_normal(shape) for shape in ((rank, in_size), (out_size, rank)))
            found[module] = a.astype(np.float32), b.astype(np.float32)
    return found


def write_peft(folder, config, pairs=None, lora_alpha=10, dtype=np.float32, **settings):
    """A PEFT folder with these pairs, those of all linear layers but the lm_head by default."""
    pairs = random_pairs(config) if pairs is None else pairs
    tensors = {}
    for module, (a, b) in pairs.items():
        for side, value in (("A", a), ("B", b)):
            tensors[f"base_model.model.{module}.lora_{side}.weight"] = value.astype(dtype)
    ranks = {module: a.shape[0] for module, (a, _) in pairs.items()}
    rank = next(iter(ranks.values()))
    raw = {"peft_type": "LORA", "r": rank, "lora_alpha": lora_alpha, "target_modules": list(pairs)}
    raw["rank_pattern"] = {module: own for module, own in ranks.items() if own != rank}
    write_json(folder / "adapter_config.json", raw | settings)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder
