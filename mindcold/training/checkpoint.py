"""What a run goes on from, in one file: weights that train, moments, and how far it is."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from safetensors import SafetensorError, safe_open

from mindcold.errors import TrainingError, one_line
from mindcold.files import write_tensors

LAST, BEST = "last.safetensors", "best.safetensors"
_FORMAT = "mindcold training 1"
_LOG = "loss.jsonl"


@dataclass(slots=True)
class Position:
    """How far a run is."""

    step: int = 0
    """Updates that were made."""
    best_loss: float | None = None
    """The lowest held-out loss, nats per label."""
    best_step: int = 0
    worse: int = 0
    """Evaluations since the lowest one."""
    ended_early: bool = False


def write(path: Path, tensors: Iterable[ms.Parameter], position: Position, log: bytes | None = None) -> None:
    """Put a checkpoint in the place of the one that is there, in one piece; TrainingError where that fails.

    `log` is the content of the log of losses so far.
    """
    metadata = {"format": _FORMAT, "position": json.dumps(asdict(position))}
    values = {item.name: np.ascontiguousarray(item.asnumpy()) for item in tensors}
    if log is not None:
        values[_LOG] = np.frombuffer(log, np.uint8)
    try:
        write_tensors(path, values, metadata)
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror or error}; the checkpoint before stays") from None


def read(path: Path, tensors: Iterable[ms.Parameter]) -> tuple[Position, bytes]:
    """Give the tensors the values of a checkpoint, bit by bit: how far the run is, and its log of losses.

    TrainingError where it is damaged or of another run.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata, names = file.metadata() or {}, set(file.keys())
            if metadata.get("format") != _FORMAT:
                raise TrainingError(f"{path}: not a checkpoint of a training run; remove it or begin with --restart")
            position = Position(**json.loads(metadata["position"]))
            for item in tensors:
                value = file.get_tensor(item.name) if item.name in names else None
                if value is None or value.shape != item.shape:
                    raise TrainingError(f"{path}: {item.name}: missing or of another shape; the run had other settings")
                item.set_data(ms.Tensor(value, item.dtype))
            log = file.get_tensor(_LOG).tobytes() if _LOG in names else b""
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"{path}: not a checkpoint ({one_line(error)}); begin with --restart") from None
    return position, log
