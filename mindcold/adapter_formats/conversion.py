"""An adapter written in another format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindcold.adapter_formats.format import Destination
from mindcold.adapter_formats.reader import AUTO, check_layout, open_adapter
from mindcold.adapter_formats.scaling import check_alpha
from mindcold.adapter_formats.table import FORMATS
from mindcold.config import ModelConfig
from mindcold.errors import AdapterError
from mindcold.files import new_folder


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was converted."""

    folder: Path
    source: str
    """Format that was read."""
    target: str
    rank: int
    lora_alpha: float
    modules: int
    """Adapted linear layers, as HuggingFace counts them."""
    stacked: tuple[str, ...]
    """Fused layers whose members had matrices A of their own, and whose rank is the sum of theirs."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "folder": str(self.folder),
            "from": self.source,
            "to": self.target,
            "rank": self.rank,
            "lora_alpha": self.lora_alpha,
            "modules": self.modules,
            "stacked": list(self.stacked),
        }


def convert_adapter(
    source: str | Path,
    folder: str | Path,
    config: ModelConfig,
    target: str,
    *,
    format: str = AUTO,
    layout: str | None = None,
    lora_alpha: float | None = None,
    name: str = "default",
    base: str = "none",
) -> Conversion:
    """Write the adapter of a folder or file to a new folder in the format `target`.

    The update is the same, exactly; B keeps its bits wherever rank and alpha can be said in the new format. `layout` is
    that of the fused layers on the sides that let it be chosen. `name` is the adapter's name in an S-LoRA index, `base`
    that of the base model in a PEFT folder. The folder appears whole or not at all. Raises AdapterError in one line.
    """
    if target not in FORMATS:
        raise AdapterError(f"to: {target!r} is not one of {', '.join(FORMATS)}")
    if not name or Path(name).name != name or name.startswith("."):
        raise AdapterError(f"name: {name!r} cannot be the name of a folder")
    if lora_alpha is not None:
        check_alpha(lora_alpha)
    content, found = open_adapter(source, name, format)
    wanted = FORMATS[target]
    check_layout(layout, found, wanted)
    own, new = (layout if len(item.layouts) > 1 else None for item in (found, wanted))
    adapter = found.read(content, config, own, lora_alpha)
    folder = Path(folder)
    with new_folder(folder, AdapterError) as partial:
        written = wanted.write(adapter, config, Destination(partial, folder, name, base, new))
    return Conversion(folder, found.name, target, written.rank, written.lora_alpha, len(adapter.pairs), written.stacked)
