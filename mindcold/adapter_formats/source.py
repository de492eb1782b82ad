"""Where an adapter is read from: a file, or a folder with files and an adapter_config.json."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mindcold.adapter_formats.ckpt_file import CkptFile
from mindcold.checkpoint import SafetensorsFile, find_safetensors
from mindcold.errors import AdapterError, one_line, shown
from mindcold.fields import read_json
from mindcold.files import is_file

CONFIG_FILE = "adapter_config.json"
INDEX_FILE = "lora_adapter.json"
"""Of a folder for S-LoRA: adapter name to folder."""

_SIZE = 1 << 20
_NAME = 300  # characters of a tensor's name
_OUTPUT_FOLDERS = re.compile(r"rank_\d+|checkpoint|checkpoint_network")
"""Folders that MindFormers puts between its output folder, with adapter_config.json in it, and a checkpoint."""


class TensorFile(Protocol):
    """A file of named tensors."""

    path: Path

    @property
    def names(self) -> frozenset[str]: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    def shape(self, name: str) -> tuple[int, ...]: ...
    def dtype(self, name: str) -> str: ...
    def tensor(self, name: str, shape: tuple[int, ...], hint: str) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Source:
    """The tensors of an adapter and what says its rank and alpha."""

    path: Path
    """The one file, or the folder of several."""
    config_file: Path
    """adapter_config.json, which need not exist."""
    files: dict[str, Any] = field(repr=False)
    """Tensor name to the TensorFile that holds it."""

    def fail(self, name: str, why: str) -> AdapterError:
        """The exception to raise for a tensor."""
        path = self.files[name].path if name in self.files else self.path
        return AdapterError(f"{path}: {name}: {why}")

    def dtype(self, names: Iterable[str]) -> str:
        """The one type of some tensors, as safetensors names it, or "mixed"."""
        kinds = {self.files[name].dtype(name) for name in names}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    def note(self, key: str) -> str | None:
        """A line of the safetensors metadata."""
        notes = {file.metadata.get(key) for file in self.files.values()}
        return next((note for note in notes if note is not None), None)


def open_source(path: Path, name: str, wanted: Callable[[str], bool]) -> Source:
    """The tensors of a file or a folder; of a `.ckpt` file only the `wanted` ones can be read.

    Of an S-LoRA folder with an index it is the adapter called `name`, or the only one.
    """
    if not path.exists():
        raise AdapterError(f"{path}: no such file or folder")
    if path.is_dir():
        if is_file(path / INDEX_FILE, AdapterError):
            path = _indexed(path, name)
        paths = _files(path)
        config_file = path / CONFIG_FILE
    else:
        paths = [path]
        config_file = _beside(path)
    files: dict[str, TensorFile] = {}
    for item in paths:
        file = _open(item, wanted)
        for tensor in file.names:
            if not tensor.isprintable() or len(tensor) > _NAME:
                raise AdapterError(f"{item}: {one_line(repr(tensor), 60)}: damaged, this is no tensor's name")
            if tensor in files and wanted(tensor):
                raise AdapterError(
                    f"{path}: {tensor}: is in {files[tensor].path.name} and in {item.name}; name the file to read"
                )
            files[tensor] = file
    return Source(paths[0] if len(paths) == 1 else path, config_file, files)


def _open(path: Path, wanted: Callable[[str], bool]) -> TensorFile:
    is_file(path, AdapterError)
    if path.suffix == ".ckpt":
        return CkptFile(path, wanted)
    if path.suffix == ".safetensors":
        return SafetensorsFile(path, AdapterError)
    raise AdapterError(f"{path}: an adapter folder, a .safetensors file or a MindSpore .ckpt file is expected")


def _files(folder: Path) -> list[Path]:
    """adapter_model.safetensors or adapter_model.ckpt, else all files of tensors in the folder."""
    for known in ("adapter_model.safetensors", "adapter_model.ckpt"):
        if is_file(folder / known, AdapterError):
            return [folder / known]
    found = sorted(
        item for suffix in ("*.safetensors", "*.ckpt") for item in folder.glob(suffix) if is_file(item, AdapterError)
    )
    return found or find_safetensors(folder, "adapter_model", AdapterError)


def _beside(path: Path) -> Path:
    """adapter_config.json in the folder of a file, or in the output folder of the MindFormers run that wrote it."""
    folder = path.parent
    while not (folder / CONFIG_FILE).is_file() and _OUTPUT_FOLDERS.fullmatch(folder.name):
        folder = folder.parent
    found = folder / CONFIG_FILE
    return found if found.is_file() else path.parent / CONFIG_FILE


def _indexed(folder: Path, name: str) -> Path:
    """The folder of one adapter of an S-LoRA index.

    MindFormers takes a relative one from the working directory; here the folder of the index comes first.
    """
    index = folder / INDEX_FILE
    entries = read_json(index, AdapterError, _SIZE)
    if not entries:
        raise AdapterError(f"{index}: an object from adapter name to folder is expected, found none")
    if name not in entries and len(entries) > 1:
        raise AdapterError(
            f"{index}: {name!r} is not one of its adapters {one_line(', '.join(entries))}; use one of these names"
        )
    chosen = name if name in entries else next(iter(entries))
    value = entries[chosen]
    if not isinstance(value, str):
        raise AdapterError(f"{index}: {one_line(chosen, 100)}: the path of a folder is expected, found {shown(value)}")
    try:
        found = next((item for item in (folder / value, Path(value), folder / chosen) if item.is_dir()), None)
    except (OSError, ValueError):
        found = None
    if found is None:
        raise AdapterError(f"{index}: {one_line(chosen, 100)}: {one_line(value)}: no such folder")
    return found
