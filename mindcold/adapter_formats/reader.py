"""Adapters read from any format: which one it is, is seen from the names of the tensors."""

from pathlib import Path

from mindcold.adapter import Adapter
from mindcold.adapter_formats.format import Format
from mindcold.adapter_formats.layout import LAYOUTS
from mindcold.adapter_formats.scaling import check_alpha
from mindcold.adapter_formats.source import Source, open_source
from mindcold.adapter_formats.table import FORMATS
from mindcold.config import ModelConfig
from mindcold.errors import AdapterError

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
    return found.read(source, config, layout, lora_alpha).adapter(name)


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
