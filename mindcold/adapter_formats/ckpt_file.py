"""A MindSpore `.ckpt` file: checked against itself, then read by MindSpore's own reader; never unpickled."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mindcold.errors import AdapterError, one_line

_DTYPES = {"Float32": ("F32", 4), "Float16": ("F16", 2), "BFloat16": ("BF16", 2), "Float64": ("F64", 8)}
_FIRST = b"\x0a"
"""The byte a checkpoint begins with: field 1 of its protobuf message."""
_CRC = b"crc_num"
_NAME = 300  # characters of a name or a type


class CkptFile:
    """The tensors of a checkpoint whose names are wanted; AdapterError names the file and the tensor."""

    def __init__(self, path: Path, wanted: Callable[[str], bool]):
        self.path, self.error = path, AdapterError
        self.names, self._kinds = self._index()
        chosen = {name for name in self.names if wanted(name)}
        for name in chosen & self._kinds.keys():
            shape, dtype, found = self._kinds[name]
            if dtype in _DTYPES and (min(shape, default=1) < 1 or math.prod(shape) * _DTYPES[dtype][1] != found):
                raise AdapterError(f"{path}: {name}: shape {list(shape)} of {dtype}, but it has {found} bytes of data")
        usable = {name for name in chosen if self._kinds.get(name, ((), "", 0))[1] in _DTYPES}
        self._tensors = self._load(usable) if usable else {}

    def _index(self) -> tuple[frozenset[str], dict[str, tuple[tuple[int, ...], str, int]]]:
        """All names, and shape, type and number of bytes of the tensors.

        MindSpore's reader copies as many bytes as the shape says, whether they are there or not; so this looks first.
        """
        from google.protobuf.message import DecodeError
        from mindspore.train.checkpoint_pb2 import Checkpoint

        try:
            size = self.path.stat().st_size
            with self.path.open("rb") as file:
                if file.read(1) != _FIRST:
                    raise AdapterError(self._not_a_checkpoint())
            if 2 * size > psutil.virtual_memory().available:
                raise AdapterError(
                    f"{self.path}: {size >> 20} MB, and twice that is not free in memory; "
                    "turn it into safetensors with mindspore.ckpt_to_safetensors and name that file"
                )
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise AdapterError(f"{self.path}: no such file") from None
        except OSError as error:
            raise AdapterError(f"{self.path}: {error.strerror or error}") from None
        if content[-17:-10] == _CRC:
            content = content[:-17]
        try:
            message = Checkpoint.FromString(content)
        except (DecodeError, ValueError):
            raise AdapterError(f"{self.path}: damaged, encrypted or not a MindSpore checkpoint") from None
        kinds: dict[str, tuple[tuple[int, ...], str, int]] = {}
        previous = None
        for item in message.value:  # a large tensor is several entries of one name, one after the other
            tensor, tag = item.tensor, item.tag
            if not f"{tag}{tensor.tensor_type}".isprintable() or len(tag) > _NAME or len(tensor.tensor_type) > _NAME:
                raise AdapterError(f"{self.path}: {one_line(repr(tag), 60)}: damaged, this is no tensor's name or type")
            if tag in kinds and tag != previous:
                raise AdapterError(f"{self.path}: {tag}: is in the file twice")
            shape = () if list(tensor.dims) == [0] else tuple(tensor.dims)
            count = len(tensor.tensor_content) + (kinds[tag][2] if tag in kinds else 0)
            kinds[tag] = (shape, tensor.tensor_type, count)
            previous = tag
        return frozenset(kinds), kinds

    def _not_a_checkpoint(self) -> str:
        with self.path.open("rb") as file:
            head = file.read(2)
        if head == b"PK" or head[:1] == b"\x80":
            return f"{self.path}: a pickle, and pickle files are never read; save the adapter as safetensors with peft"
        return f"{self.path}: not a MindSpore checkpoint"

    def _load(self, names: set[str]) -> dict[str, Any]:
        import mindspore as ms

        try:
            return ms.load_checkpoint(str(self.path), choice_func=lambda name: name in names)
        except (ValueError, TypeError, RuntimeError, KeyError) as error:
            raise AdapterError(f"{self.path}: MindSpore cannot read it ({one_line(error)})") from None

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._kinds[name][0]

    def dtype(self, name: str) -> str:
        """Its type as safetensors names it, where it is a float type."""
        kind = self._kinds[name][1]
        return _DTYPES[kind][0] if kind in _DTYPES else kind

    def tensor(self, name: str, shape: tuple[int, ...], hint: str) -> np.ndarray:
        """A wanted tensor as float32; refused unless it has this shape, a float type and only finite values."""
        if self.shape(name) != shape:
            raise AdapterError(
                f"{self.path}: {name}: shape {list(self.shape(name))}, but {list(shape)} is expected; {hint}"
            )
        if name not in self._tensors:
            raise AdapterError(f"{self.path}: {name}: dtype {self.dtype(name)} is not supported, only float types are")
        value = self._tensors[name].asnumpy().astype(np.float32)
        if not np.isfinite(value).all():
            raise AdapterError(f"{self.path}: {name}: holds NaN or infinite values; the file is damaged")
        return value

    @property
    def metadata(self) -> dict[str, str]:
        """Nothing: a checkpoint has no notes beside its tensors."""
        return {}


def write_ckpt(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write float tensors as a MindSpore checkpoint."""
    import mindspore as ms

    types = {"float32": ms.float32, "float16": ms.float16, "bfloat16": ms.bfloat16}
    content = [
        {"name": name, "data": ms.Tensor(value.astype(np.float32), types[value.dtype.name])}
        for name, value in tensors.items()
    ]
    ms.save_checkpoint(content, str(path))
