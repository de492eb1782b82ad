"""How an adapter decodes best, kept beside it: what a call does not give comes from here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mindcold.decoding import find
from mindcold.errors import AdapterError, RequestError, shown
from mindcold.fields import Fields
from mindcold.files import is_file, write_json
from mindcold.sampling_params import SamplingParams

FILE = "decoding_config.json"
"""Name of the file in the adapter folder."""

DRAFTS = ("none", "trigram")
"""Drafts that need nothing beside the adapter."""

_SIZE = 1 << 16
_TEXT = 200
KEYWORDS = ("alpha", "beta", "score", "high_precision_steps", "draft", "draft_tokens")
"""Keywords that can be set."""


@dataclass(frozen=True, slots=True)
class TuningRecord:
    """What decoding defaults were chosen by: scores in [0, 1], of the items the choice was tested on."""

    task: str
    data: str
    """Name of the file."""
    split: str
    model: str
    metric: str
    chosen_on: int
    """Items the setting was chosen on."""
    tested_on: int
    """Items it was compared with greedy on, none of them among the former."""
    greedy: float
    """Score of the adapter's own greedy."""
    score: float
    """Score of the best setting of the grid, whether it is recommended or not."""
    difference: float
    low: float
    """Bounds of the 95 % interval of the difference, paired by item."""
    high: float
    setting: str
    """The best setting of the grid, as `mindcold evaluate --methods` takes it."""


@dataclass(frozen=True, slots=True)
class DecodingDefaults:
    """A method with its settings; None leaves a keyword to the library's default."""

    method: str = "greedy"
    alpha: float | None = None
    beta: float | None = None
    draft: str | None = None
    draft_tokens: int | None = None
    tuned_on: TuningRecord | None = None
    score: str | None = None
    high_precision_steps: int | None = None

    @classmethod
    def of_folder(cls, folder: str | Path) -> "DecodingDefaults":
        """Those of an adapter folder, the library's where it has none.

        Raises AdapterError, naming the file and the field, for what is unknown, out of bounds or of no use.
        """
        path = Path(folder) / FILE
        if not is_file(path, AdapterError):
            return cls()
        found = Fields.of_file(path, AdapterError, limit=_SIZE)
        found.allow(item.name for item in fields(cls))
        record = None if found.raw.get("tuned_on") is None else _record(found.object("tuned_on"))
        keywords = {name: value for name in KEYWORDS if (value := found.raw.get(name)) is not None}
        defaults = cls(found.text("method", cls().method), **keywords, tuned_on=record)
        if keywords.get("draft", "none") not in DRAFTS:
            raise found.fail("draft", f"{shown(keywords['draft'])} is not one of {', '.join(DRAFTS)}")
        try:
            find(defaults.method).check(SamplingParams.of(keywords))
        except RequestError as error:
            raise AdapterError(f"{path}: {error}") from None
        return defaults

    def complete(self, method: str | None, keywords: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The method and the keywords of a call whose adapter has these defaults; what is given wins.

        Method and draft are the defaults' where the call names no method, its own keywords where it names the same one;
        alpha and beta wherever it contrasts.
        """
        found = dict(keywords)
        if method in (None, self.method):
            own = {"score": self.score, "high_precision_steps": self.high_precision_steps}
            found = {name: value for name, value in own.items() if value is not None} | found
        if method is None and "draft" not in found and self.draft is not None:
            found["draft"] = self.draft
            if self.draft_tokens is not None and self.draft != "none":
                found.setdefault("draft_tokens", self.draft_tokens)
        method = self.method if method is None else method
        if find(method).contrast(SamplingParams.of(found)):
            found = self.contrast | found
        return method, found

    @property
    def contrast(self) -> dict[str, float]:
        """Alpha and beta, as far as they are set."""
        found = {"alpha": self.alpha, "beta": self.beta}
        return {name: value for name, value in found.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without what is None."""
        found = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "tuned_on"}
        if self.tuned_on is not None:
            found["tuned_on"] = {item.name: getattr(self.tuned_on, item.name) for item in fields(self.tuned_on)}
        return {name: value for name, value in found.items() if value is not None}

    def write(self, folder: str | Path) -> Path:
        """Write them beside the adapter in one piece; AdapterError where a file of other content is in the way."""
        path = check_writable(folder)
        try:
            write_json(path, self.to_dict())
        except OSError as error:
            raise AdapterError(f"{path}: {error.strerror or error}") from None
        return path


def check_writable(folder: str | Path) -> Path:
    """Path of the file of an adapter folder; AdapterError where what is there is not decoding defaults."""
    try:
        DecodingDefaults.of_folder(folder)
    except AdapterError as error:
        raise AdapterError(f"{error}; not overwritten, move the file away first") from None
    return Path(folder) / FILE


def _record(found: Fields) -> TuningRecord:
    """The record of a file; every field has to be there."""
    found.allow(item.name for item in fields(TuningRecord))
    values: dict[str, Any] = {}
    for item in fields(TuningRecord):
        if item.type in (int, "int"):
            values[item.name] = found.integer(item.name)
        elif item.type in (float, "float"):
            values[item.name] = found.number(item.name, low=-math.inf)
        else:
            values[item.name] = found.text(item.name, "")
            if not 0 < len(values[item.name]) <= _TEXT:
                raise found.fail(item.name, f"a text of 1 to {_TEXT} characters is expected")
    return TuningRecord(**values)
