"""The losses of a run as TensorBoard reads them."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindcold.errors import TrainingError
from mindcold.files import reason

FOLDER = "tensorboard"

_TAGS = {
    "loss": "loss/train",
    "held_out_loss": "loss/held_out",
    "learning_rate": "learning_rate",
    "gradient_norm": "gradient_norm",
}
"""Field of a record to the name of its curve."""

_EVERY = 2.0
"""Seconds between what is synchronised with the disk."""


def require_tensorboardx() -> None:
    """TrainingError that says how to install it."""
    try:
        import tensorboardX.event_file_writer  # noqa: F401
    except ImportError:
        raise TrainingError("--tensorboard: not installed; run: pip install 'mindcold[tensorboard]'") from None


class Curves:
    """Event files in a folder, one for each part of a run, that grow by its records.

    The second part and later ones begin by taking back the steps beyond their checkpoint, which the part before may
    have made when it was killed. Nothing runs beside the training: SummaryWriter's thread is not used.
    """

    def __init__(self, folder: Path, before: Sequence[dict[str, Any]], step: int):
        """`before` are the records of the run up to `step`; the curves of a folder without any begin with them."""
        require_tensorboardx()
        self._folder, self._step, self._flushed = folder, step, 0.0
        self._writer: Any = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._parts = len(list(folder.glob("events.out.tfevents.*")))
            for record in before if self._parts == 0 else ():
                self._add(record)
        except OSError as error:
            raise self._error(error) from None

    def add(self, record: dict[str, Any]) -> None:
        """The record of a step or of an evaluation."""
        try:
            self._add(record)
        except OSError as error:
            raise self._error(error) from None

    def close(self) -> None:
        """Let go of the file."""
        if self._writer is None:
            return
        try:
            self._writer.close()
        except OSError as error:
            raise self._error(error) from None

    def _error(self, error: OSError) -> TrainingError:
        return TrainingError(f"{self._folder}: {reason(error)}; make room, or run again without --tensorboard")

    def _add(self, record: dict[str, Any]) -> None:
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        if self._writer is None:
            self._writer = self._begin()
        for name, tag in _TAGS.items():
            if name in record:
                value = summary.scalar(tag, record[name])
                self._writer.write_event(Event(step=record["step"], wall_time=time.time(), summary=value))
        if time.monotonic() - self._flushed >= _EVERY:
            self._writer.flush()
            self._flushed = time.monotonic()

    def _begin(self) -> Any:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        # the number of the part tells files of one second apart and puts them in order
        writer = EventsWriter(str(self._folder.absolute() / "events"), f".{self._parts:06d}")
        if self._parts:
            start = SessionLog(status=SessionLog.START)
            writer.write_event(Event(step=self._step + 1, wall_time=time.time(), session_log=start))
        return writer
