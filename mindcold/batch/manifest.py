"""What job an output belongs to: a job goes on only as the same job."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mindspore

from mindcold import __version__
from mindcold.errors import BatchError
from mindcold.fields import read_json
from mindcold.files import write_json
from mindcold.jobs.fingerprint import fingerprint

FORMAT = "mindcold batch 1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A job: its input, model, adapters and options, and when it began."""

    input: str
    """SHA-256 of the input file."""
    model: str
    """Of the model folder, see `fingerprint`."""
    adapters: dict[str, str]
    """Of each adapter folder, by its name."""
    options: dict[str, Any]
    """Method and keywords of all lines, the format of the input, the dtype."""
    created: int
    """Seconds since 1970; the `created` of all responses."""
    versions: dict[str, str]
    """Of mindcold and MindSpore when it began."""
    format: str = FORMAT

    def keep(self, path: Path) -> "Manifest":
        """Begin a job, or go on with the one that is there: its manifest.

        Raises BatchError where that is another job, naming what differs.
        """
        if not path.exists():
            try:
                write_json(path, asdict(self))
            except OSError as error:
                raise BatchError(f"{path}: {error.strerror or error}") from None
            return self
        raw = read_json(path, BatchError, 1 << 24)
        for name, mine in asdict(self).items():
            if name not in ("created", "versions") and raw.get(name) != mine:
                raise BatchError(
                    f"{path}: {name}: {_difference(raw.get(name), mine)}, so this is not the job that was begun; "
                    "choose another --output, or begin anew with --restart"
                )
        if not isinstance(raw.get("created"), int) or not isinstance(raw.get("versions"), dict):
            raise BatchError(f"{path}: created, versions: missing; begin anew with --restart")
        return Manifest(**raw)


def begin(
    input_sha256: str, model: Path, adapters: Mapping[str, Path], options: Mapping[str, Any], now: float | None = None
) -> Manifest:
    """The manifest of a job that begins now."""
    return Manifest(
        input_sha256,
        fingerprint(model),
        {name: fingerprint(path) for name, path in adapters.items()},
        json.loads(json.dumps(options)),
        int(time.time() if now is None else now),
        {"mindcold": __version__, "mindspore": mindspore.__version__},
    )


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                then, now = (str(item.get(name, "not given"))[:40] for item in (old, new))
                return f"{name}: {then!r} then, {now!r} now"
    return f"{str(old)[:16]} then, {str(new)[:16]} now"
