"""One GGUF file: typed metadata and dequantised tensors; every refusal names the file and the key."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from mindcold.errors import ModelError

ROWS_AT_ONCE = 8192
"""Rows of a tensor in memory as float32 at a time."""


class GgufFile:
    """A GGUF file by the gguf package; tensors stay on disk until they are asked for."""

    def __init__(self, path: str | Path):
        """Raises ModelError for what is missing, truncated or no GGUF file, and where the gguf package is missing."""
        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"{self.path}: no such file")
        try:
            reader = _open(self.path)
        except ImportError:
            raise ModelError(
                f"{self.path}: reading GGUF needs the gguf package; pip install 'mindcold[gguf]'"
            ) from None
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, OSError) as error:
            why = " ".join(str(error).split())[:150]
            raise ModelError(f"{self.path}: truncated or not a GGUF file ({why})") from None
        self._fields = reader.fields
        self._tensors = {item.name: item for item in reader.tensors}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    @property
    def tensor_names(self) -> list[str]:
        """Names of the tensors, in the order of the file."""
        return list(self._tensors)

    def fail(self, key: str, why: str) -> ModelError:
        """The error for one key or tensor, to be raised."""
        return ModelError(f"{self.path}: {key}: {why}")

    def value(self, key: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        """A metadata value of this type; `default` where the key is missing, an error without one."""
        field = self._fields.get(key)
        if field is None:
            if default is ...:
                raise self.fail(key, "missing")
            return default
        try:
            found = field.contents()
        except (ValueError, IndexError, TypeError) as error:
            raise self.fail(key, f"cannot be read ({error})") from None
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in kinds):
            names = " or ".join(item.__name__ for item in kinds)
            raise self.fail(key, f"{names} is expected, found {str(found)[:60]!r}")
        return found

    def integer(self, key: str, default: Any = ..., low: int = 0, high: int = 1 << 24) -> Any:
        """A whole number, the first of a list where all of it are the same (a value per layer)."""
        found = self.value(key, (int, list), default)
        if found is default:
            return found
        if isinstance(found, list):
            if not found or len(set(found)) != 1 or not isinstance(found[0], int):
                raise self.fail(key, "layers of different shapes are not supported")
            found = found[0]
        if not low <= found <= high:
            raise self.fail(key, f"an integer from {low} to {high} is expected, found {found}")
        return found

    def strings(self, key: str, default: Any = ...) -> list[str]:
        """A list of strings."""
        found = self.value(key, list, default)
        if not all(isinstance(item, str) for item in found):
            raise self.fail(key, "a list of strings is expected")
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, outermost dimension first."""
        if name not in self._tensors:
            raise self.fail(name, "this tensor is missing")
        return tuple(int(size) for size in reversed(self._tensors[name].shape))

    def tensor(self, name: str, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        """A tensor of exactly this shape, dequantised to "float32" or "bfloat16" with bounded memory."""
        from gguf.quants import dequantize

        if self.shape(name) != shape:
            raise self.fail(name, f"shape {list(self.shape(name))}, but {list(shape)} is expected")
        item = self._tensors[name]
        out = np.empty(shape, ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float32)
        for first in range(0, shape[0], ROWS_AT_ONCE):
            try:
                rows = dequantize(item.data[first : first + ROWS_AT_ONCE], item.tensor_type)
            except (NotImplementedError, ValueError, TypeError):
                kind = item.tensor_type.name
                raise self.fail(name, f"quantisation {kind} cannot be read by this version of gguf") from None
            if not np.isfinite(rows).all():
                raise self.fail(name, "holds NaN or infinite values; the file is damaged")
            out[first : first + len(rows)] = rows
        return out


def _open(path: Path) -> Any:
    """The reader of the gguf package, made to refuse a read beyond the end instead of giving what is there."""
    from gguf import GGUFReader

    class Reader(GGUFReader):
        def _get(self, offset, dtype, count=1, override_order=None):
            if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError(f"ends at byte {len(self.data)}")
            return super()._get(offset, dtype, count, override_order)

    return Reader(path)
