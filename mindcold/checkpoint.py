"""The weights of a HuggingFace folder: tensors read by name from one or several safetensors files."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from mindcold.config import ModelConfig
from mindcold.errors import MindcoldError, ModelError, one_line, shown
from mindcold.fields import read_json
from mindcold.files import is_file, reason

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
_SAME_LINES = 1024
_HINT = "config.json and the weights disagree"
_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "F64": np.float64}
_INFINITE = 0x7F80
"""Bits of the infinite bfloat16; those of NaN are greater, those of all other values less."""


class SafetensorsFile:
    """One safetensors file: names, shapes, metadata and float32 tensors; errors name the file and the tensor."""

    def __init__(self, path: Path, error: type[MindcoldError] = ModelError):
        self.path, self.error = path, error
        if not is_file(path, error):
            raise error(f"{path}: no such file")
        with self._reading() as file:
            self._kinds: dict[str, tuple[tuple[int, ...], str]] = {}
            for name in file.keys():  # noqa: SIM118 - not a dictionary
                part = file.get_slice(name)
                self._kinds[name] = tuple(part.get_shape()), part.get_dtype()
            self.names = frozenset(self._kinds)
            self.metadata: dict[str, str] = file.metadata() or {}
            self._offsets = self._header()

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        """The file, mapped for as long as it is read from: pages that stay mapped count as memory of the process."""
        try:
            with safe_open(str(self.path), framework="numpy") as file:
                yield file
        except (SafetensorError, OSError, ValueError) as error:
            raise self.error(f"{self.path}: truncated or not a safetensors file ({one_line(error)})") from None

    def shape(self, name: str) -> tuple[int, ...]:
        return self._kinds[name][0]

    def dtype(self, name: str) -> str:
        return self._kinds[name][1]

    def same(self, name: str, other: "SafetensorsFile") -> bool:
        """Whether another file has the same tensor of this name, bit for bit."""
        if self._kinds[name] != other._kinds[name] or self.dtype(name) not in _DTYPES:
            return False
        with self._reading() as file, other._reading() as theirs:
            mine, its = file.get_slice(name), theirs.get_slice(name)
            if not self.shape(name):
                return bool(file.get_tensor(name).tobytes() == theirs.get_tensor(name).tobytes())
            lines = self.shape(name)[0]
            parts = ((first, min(first + _SAME_LINES, lines)) for first in range(0, lines, _SAME_LINES))
            return all(mine[first:end].tobytes() == its[first:end].tobytes() for first, end in parts)

    def check(self, name: str, shape: tuple[int, ...], hint: str) -> None:
        """Refuse a tensor that has not this shape, unread."""
        if self.shape(name) != shape:
            raise self.error(
                f"{self.path}: {name}: shape {list(self.shape(name))}, but {list(shape)} is expected; {hint}"
            )

    def tensor(self, name: str, shape: tuple[int, ...], hint: str) -> np.ndarray:
        """Tensor `name` as float32; it is refused unless it has this shape, a float type and only finite values."""
        return self.lines(name, shape, hint).astype(np.float32, copy=False)

    def lines(self, name: str, shape: tuple[int, ...], hint: str, first: int = 0, end: int | None = None) -> np.ndarray:
        """Lines first .. end - 1 of a tensor, refused as by `tensor`: bfloat16 if stored so, else float32."""
        self.check(name, shape, hint)
        dtype = self.dtype(name)
        if dtype not in _DTYPES:
            raise self.error(f"{self.path}: {name}: dtype {dtype} is not supported, only {', '.join(_DTYPES)}")
        raw = self._stored(name, first, end)
        if dtype == "BF16":
            unsigned = raw & np.uint16(0x7FFF)
            finite, value = unsigned.max(initial=0) < _INFINITE, raw.view(ml_dtypes.bfloat16)
        else:
            with np.errstate(over="ignore"):
                value = raw.astype(np.float32, copy=False)
            finite = bool(np.isfinite(value).all())
        if not finite:
            raise self.error(f"{self.path}: {name}: holds NaN or infinite values; the file is damaged")
        return value

    def _stored(self, name: str, first: int, end: int | None) -> np.ndarray:
        """Lines of a tensor as they are in the file, read and not mapped: what is mapped once for each takes longer."""
        shape, kind = self.shape(name), np.dtype(_DTYPES[self.dtype(name)])
        line = math.prod(shape[1:])
        lines = (min(end or shape[0], shape[0]) - first,) if shape else ()
        count = math.prod(lines) * line
        try:
            value = np.fromfile(self.path, kind, count, offset=self._offsets[name] + first * line * kind.itemsize)
        except OSError as error:
            raise self.error(f"{self.path}: {reason(error)}") from None
        if value.size < count:
            raise self.error(f"{self.path}: truncated while it was read")
        return value.reshape(*lines, *shape[1:])

    def _header(self) -> dict[str, int]:
        """Where each tensor begins in the file, which has been found to be sound."""
        with self.path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            return {
                name: 8 + size + entry["data_offsets"][0]
                for name, entry in json.loads(file.read(size)).items()
                if name != "__metadata__"
            }


def find_safetensors(folder: Path, stem: str, error: type[MindcoldError]) -> list[Path]:
    """The safetensors files of a folder (`stem`.safetensors, or the shards of `stem`.safetensors.index.json)."""
    if not folder.is_dir():
        raise error(f"{folder}: no such folder")
    single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if is_file(single, error):
        return [single]
    if is_file(index, error):
        shards = read_json(index, error).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise error(f"{index}: weight_map: an object from tensor name to file name is expected")
        names = sorted({str(name) for name in shards.values()})
        for name in names:
            if Path(name).name != name or not name.endswith(".safetensors") or len(name) > 200:
                raise error(f"{index}: weight_map: {shown(name)} is not the name of a safetensors file in this folder")
        return [folder / name for name in names]
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        raise error(f"{folder / pickles[0]}: pickle files are never read; convert the weights to safetensors")
    raise error(f"{single}: no such file")


class TensorSource(Protocol):
    """Where the weights of a model are read from, under their HuggingFace names."""

    config: ModelConfig

    @property
    def stored_dtype(self) -> str:
        """The one type all matrices are stored in, as safetensors names it ("F32", "F16", "BF16"), else "mixed"."""
        ...

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a tensor that is missing or has another shape, unread."""
        ...

    def tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Tensor `name` as float32 of exactly this shape."""
        ...

    def rows(self, name: str, shape: tuple[int, ...], first: int, end: int | None) -> np.ndarray:
        """Lines first .. end - 1 of a tensor that has exactly this shape: float32, or bfloat16 where that is exact."""
        ...

    def shared(self, names: tuple[str, ...]) -> Any | None:
        """The Parameter that holds these float32 matrices, one below the other, and may be used as it is; or None."""
        ...


class Checkpoint:
    """The weights of one model folder, checked against its configuration.

    Raises ModelError for a missing, truncated or corrupt file and for layers the configuration does not have.
    """

    def __init__(self, folder: str | Path, config: ModelConfig):
        self.folder, self.config = Path(folder), config
        self._home: dict[str, SafetensorsFile] = {}
        for path in find_safetensors(self.folder, "model", ModelError):
            file = SafetensorsFile(path)
            for name in sorted(file.names & self._home.keys()):
                if not file.same(name, self._home[name]):
                    raise ModelError(
                        f"{path}: {one_line(name, 100)}: differs from the tensor of this name in "
                        f"{self._home[name].path.name}"
                    )
            self._home |= dict.fromkeys(file.names, file)
        beyond = f"model.layers.{config.num_hidden_layers}."
        for name, file in self._home.items():
            if name.startswith(beyond):
                raise ModelError(
                    f"{self.folder / 'config.json'}: num_hidden_layers: {config.num_hidden_layers}, "
                    f"but {file.path.name} has {one_line(name, 100)}"
                )

    @property
    def stored_dtype(self) -> str:
        """The one type all matrices are stored in, as safetensors names it ("F32", "F16", "BF16"), else "mixed"."""
        kinds = {file.dtype(name) for name, file in self._home.items() if len(file.shape(name)) == 2}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    def __contains__(self, name: str) -> bool:
        return name in self._home

    def shared(self, names: tuple[str, ...]) -> None:
        """Files are read; nothing of them is used as it is."""
        return None

    def tensor(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Tensor `name` as float32 of exactly this shape."""
        return self._file(name).tensor(name, shape, _HINT)

    def rows(self, name: str, shape: tuple[int, ...], first: int, end: int | None) -> np.ndarray:
        """Lines first .. end - 1 of a tensor of exactly this shape: bfloat16 if they are stored so, else float32."""
        return self._file(name).lines(name, shape, _HINT, first, end)

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a tensor that is missing or has another shape, unread."""
        self._file(name).check(name, shape, _HINT)

    def _file(self, name: str) -> SafetensorsFile:
        """The file that has a tensor."""
        file = self._home.get(name)
        if file is None:
            raise ModelError(f"{self.folder}: {name}: missing from the safetensors files, config.json asks for it")
        return file
