"""Adapters read from any format: which one it is, is seen from the names of the tensors."""

from pathlib import Path

import numpy as np

from mindcold.adapter import Adapter
from mindcold.adapter_formats.format import Format
from mindcold.adapter_formats.layout import LAYOUTS
from mindcold.adapter_formats.scaling import check_alpha
from mindcold.adapter_formats.source import Source, open_source
from mindcold.adapter_formats.table import FORMATS
from mindcold.config import ModelConfig
from mindcold.errors import AdapterError, one_line
from mindcold.model.shapes import EMBEDDING, linear_shapes

AUTO = "auto"


def read_adapter(
    path: str | Path,
    config: ModelConfig,
    name: str = "default",
    *,
    format: str = AUTO,
    layout: str | None = None,
    lora_alpha: float | None = None,
) -> Adapter:
    """Read a LoRA adapter, made for a base model of shape `config`, from a folder or a file of tensors.

    `format` is one of FORMATS, or "auto" to see it from the tensors. `layout` is that of fused layers, one of LAYOUTS;
    the default is what MindFormers trains with. `lora_alpha` has to be given where there is no adapter_config.json,
    and only there. Of an S-LoRA folder it is the adapter called `name`. Raises AdapterError in one line, naming the
    file and the tensor or field, for what is missing, damaged, not supported or made for another base.
    """
    if lora_alpha is not None:
        check_alpha(lora_alpha)
    source, found = open_adapter(path, name, format)
    check_layout(layout, found)
    adapter = found.read(source, config, layout, lora_alpha).adapter(name)
    check_adapter(adapter, config, str(source.path))
    return adapter


def check_adapter(adapter: Adapter, config: ModelConfig, where: str) -> None:
    """Refuse an adapter that does not fit a base model of shape `config`, or whose scaled updates are not finite."""
    linear, whole = linear_shapes(config), (config.vocab_size, config.hidden_size)
    for module, pair in adapter.pairs.items():
        if module not in linear:
            raise AdapterError(f"{where}: {one_line(module, 100)}: no linear layer of this base model")
        (out_size, in_size), rank = linear[module], len(pair.a)
        _check_matrix(pair.a, (rank, in_size), f"{where}: {module}: matrix A")
        _check_matrix(pair.b, (out_size, rank), f"{where}: {module}: matrix B, scaled by alpha and rank,")
    for module, value in adapter.replaced.items():
        if module not in (EMBEDDING, "lm_head"):
            raise AdapterError(f"{where}: {one_line(module, 100)}: only {EMBEDDING} and lm_head can be replaced")
        _check_matrix(value, whole, f"{where}: {module}: its weight")


def _check_matrix(value: np.ndarray, shape: tuple[int, int], what: str) -> None:
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype != np.float32:
        found = f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
        raise AdapterError(f"{what} has to be float32 {list(shape)}, but is {found}")
    if not np.isfinite(value).all():
        raise AdapterError(f"{what} holds NaN or infinite values")


def open_adapter(path: str | Path, name: str = "default", format: str = AUTO) -> tuple[Source, Format]:
    """The tensors of an adapter and the format they are in; the arguments are those of `read_adapter`."""
    if format not in (AUTO, *FORMATS):
        raise AdapterError(f"format: {format!r} is not one of {AUTO}, {', '.join(FORMATS)}")
    source = open_source(Path(path), name, lambda tensor: any(item.is_lora(tensor) for item in FORMATS.values()))
    return source, detect(source) if format == AUTO else FORMATS[format]


def detect(source: Source) -> Format:
    """The one format that the tensors are named by."""
    names = frozenset(source.files)
    found = [item for item in FORMATS.values() if item.claims(names)]
    if len(found) == 1:
        return found[0]
    if found:
        raise AdapterError(
            f"{source.path}: holds tensors of the formats {' and '.join(item.name for item in found)}; "
            "pass format= (mindcold convert-adapter --from) to say which to read"
        )
    known = ", ".join(f"{item.name} (...{item.example})" for item in FORMATS.values())
    first = next((name for name in sorted(names) if "lora" in name.lower()), None)
    what = f"{first}: not named as in any known adapter format" if first else "holds no LoRA tensor"
    raise AdapterError(f"{source.path}: {what}; known are {known}")


def check_layout(layout: str | None, *formats: Format) -> None:
    """Refuse a layout that does not exist, or that none of these formats has."""
    if layout is not None and layout not in LAYOUTS:
        raise AdapterError(f"layout: {layout!r} is not one of {', '.join(LAYOUTS)}")
    if layout is not None and not any(layout in item.layouts for item in formats):
        has = " and ".join(
            f"{item.name} is always {item.layouts[0]}" if item.layouts else f"{item.name} has no fused layers"
            for item in formats
        )
        raise AdapterError(f"layout: {layout!r} was given, but {has}; leave it out")
