"""The output folder of a run: what may be written there, and whether the run in it is the same."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindcold.errors import TrainingError
from mindcold.fields import read_json
from mindcold.files import check_folder, reason
from mindcold.training import checkpoint

RUN, SETTINGS = "run", "settings.json"
TOKENIZER_FILES = (
    *("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    "chat_template.jinja",
)
_RESULTS = (
    *("config.json", "adapter_config.json", "generation_config.json", *TOKENIZER_FILES),
    *("*.safetensors", "*.safetensors.index.json", "*.bin", "*.ckpt", "*.gguf", "*.pt", "*.pth"),
)
"""Files that a model or an adapter consists of."""


def check_place(output: Path, base: Path | None) -> None:
    """Refuse a place where nothing can be written, and the model `base` that the run starts from."""
    check_folder(output, TrainingError)
    check_folder(output / RUN, TrainingError)
    if base is not None and output.resolve() == base.resolve():
        raise TrainingError(f"{output}: --output is the model itself; choose another folder")


def check_content(output: Path) -> None:
    """Refuse a folder with a model or an adapter that no run in it has written."""
    if found := [] if (output / RUN / SETTINGS).is_file() else _results(output):
        raise TrainingError(
            f"{output}: holds {found[0]}, of another model or adapter; choose another folder, or let it be replaced "
            "with --overwrite"
        )


def check_same(output: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of other settings or other data."""
    settings = output / RUN / SETTINGS
    before = read_json(settings, TrainingError)
    for name, value in identity.items():
        if before.get(name) != value:
            then, now = (str(item)[:60] for item in (before.get(name), value))
            raise TrainingError(
                f"{settings}: {name}: the run had {then!r}, now {now!r}; keep it to go on with the "
                "run, choose another --output, or begin anew with --restart"
            )


def has_run(output: Path) -> bool:
    """Whether there is a run to go on with, or one that has ended."""
    ended = (output / RUN / SETTINGS).is_file() and _results(output)
    return bool(ended) or (output / RUN / checkpoint.LAST).is_file()


def _results(output: Path) -> list[str]:
    return sorted(path.name for pattern in _RESULTS for path in output.glob(pattern))


def content_of(path: Path, kind: str = "") -> str:
    """What a file is, wherever it lies and whatever its name: SHA-256 of its content, after the kind it is read as."""
    try:
        return hashlib.sha256(kind.encode() + path.read_bytes()).hexdigest()
    except OSError as error:
        raise TrainingError(f"{path}: {reason(error)}") from None


def tokenizer_of(folder: Path) -> str:
    """SHA-256 over the files of a tokenizer."""
    found = [(name, content_of(folder / name)) for name in TOKENIZER_FILES if (folder / name).is_file()]
    return hashlib.sha256(repr(found).encode()).hexdigest()
