"""A GGUF file as a HuggingFace folder: dequantised weights, configuration, tokenizer and generation settings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tqdm import tqdm

from mindcold.config import ModelConfig
from mindcold.convert.gguf_config import read_config
from mindcold.convert.gguf_file import GgufFile
from mindcold.convert.gguf_tokenizer import write_tokenizer
from mindcold.convert.row_order import paired_heads, to_halves
from mindcold.errors import ModelError
from mindcold.files import new_folder

DTYPES = ("bfloat16", "float32")

SHARD = 1 << 30
"""Bytes of weights in one safetensors file, and in memory at a time."""

IGNORED = ("rope_freqs.weight",)
"""Tensors that say what config.json says already."""


def convert(source: str | Path, folder: str | Path, dtype: str = "bfloat16", shard: int = SHARD) -> Path:
    """Write the model of a GGUF file to a new HuggingFace folder and return it.

    Weights are dequantised to `dtype`, "bfloat16" or "float32", `shard` bytes at a time. The folder appears whole or
    not at all. Raises ModelError in one line, naming the file and the key or tensor.
    """
    folder = Path(folder)
    if dtype not in DTYPES:
        raise ModelError(f"dtype: {dtype!r} is not one of {', '.join(DTYPES)}")
    file = GgufFile(source)
    config = read_config(file, dtype)
    names = _tensor_names(file, config)
    with new_folder(folder, ModelError) as partial:
        write_tokenizer(file, partial, config.max_position_embeddings)
        _write_weights(file, config, partial, names, dtype, shard)
        _write_json(partial / "config.json", config.to_hf())
        _write_json(partial / "generation_config.json", _generation(file, config))
    return folder


def _generation(file: GgufFile, config: ModelConfig) -> dict[str, Any]:
    """End of text and what goes with it, as transformers reads it."""
    ends = list(config.eos_token_ids)
    found = {
        "bos_token_id": config.bos_token_id,
        "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),
        "pad_token_id": file.integer("tokenizer.ggml.padding_token_id", None),
    }
    return {name: value for name, value in found.items() if value is not None}


def _tensor_names(file: GgufFile, config: ModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """HuggingFace name of every tensor to its GGUF name and shape; all are there, and none is left over."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    from mindcold.model.weights import weight_shapes

    known = get_tensor_name_map(getattr(MODEL_ARCH, config.model_type.upper()), config.num_hidden_layers)
    names = {}
    for name, shape in weight_shapes(config).items():
        own = known.get_name(name, (".weight", ".bias"))
        if own is None or file.shape(own) != shape:
            found = list(file.shape(own)) if own else "no name"
            raise file.fail(own or name, f"shape {found}, but {list(shape)} is expected")
        names[name] = (own, shape)
    extra = set(file.tensor_names) - {own for own, _ in names.values()} - set(IGNORED)
    if extra:
        raise file.fail(min(extra), f"this tensor has no place in the architecture {config.model_type}")
    return names


def _write_weights(
    file: GgufFile,
    config: ModelConfig,
    folder: Path,
    names: dict[str, tuple[str, tuple[int, ...]]],
    dtype: str,
    shard: int,
) -> None:
    size = 2 if dtype == "bfloat16" else 4
    shards: list[list[str]] = [[]]
    filled = total = 0
    for name, (_, shape) in names.items():
        nbytes = int(np.prod(shape)) * size
        if shards[-1] and filled + nbytes > shard:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled, total = filled + nbytes, total + nbytes
    home = {}
    with tqdm(total=len(names), desc="convert", unit="tensor", disable=None) as bar:
        for number, members in enumerate(shards, 1):
            part = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
            tensors = {}
            for name in members:
                tensors[name] = _tensor(file, config, name, *names[name], dtype)
                home[name] = part
                bar.update()
            save_file(tensors, folder / part, metadata={"format": "pt"})
    if len(shards) > 1:
        _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": home})


def _tensor(file: GgufFile, config: ModelConfig, name: str, own: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    value = file.tensor(own, shape, dtype)
    kind = file.value("general.architecture", str)
    heads = paired_heads(kind, name, config.num_attention_heads, config.num_key_value_heads)
    return to_halves(value, heads) if heads else value


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
