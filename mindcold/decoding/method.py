"""What a decoding method is: which streams it scores, how they are combined, and how a token is chosen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Contrast:
    """Expert against amateur: alpha is the plausibility cut in (0, 1], beta >= 0 the strength of the contrast."""

    alpha: float
    beta: float


@dataclass(frozen=True, slots=True)
class Ahead:
    """Lookahead: how far, for how many candidates, and what its reward counts beside the log-probability."""

    length: int
    candidates: int
    weight: float
    exhaustive: bool = False
    """Candidates that cannot win are rolled out too."""
    speculative: bool = False
    """The draft looks ahead and the target verifies it."""
    tau_a: float = 0.0
    """Share of a draft the target has to agree with."""
    tau_r: float = 0.0
    """Reward a draft has to reach."""


@dataclass(frozen=True, slots=True)
class Method:
    """A point on the axes of the design: what to score and how to choose."""

    name: str
    contrast: Contrast | None = None
    """None scores the request's adapter alone; otherwise the base runs beside it as a second stream."""
    sampled: bool = False
    """Draw from the scores instead of taking the best."""
    draft: str = "none"
    """Its own drafter; the `draft` keyword overrides it."""
    ahead: Ahead | None = None
    """How it looks ahead, if it does."""
    search: Callable[[Any, Any], Any] | None = None
    """Makes the search of a request from the engine and the request, see `search.py`; None decodes in the loop."""

    @property
    def streams(self) -> int:
        """Sequences the method keeps per request."""
        return 2 if self.contrast else 1
