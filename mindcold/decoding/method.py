"""What a decoding method is: which streams it scores, how they are combined, and how a token is chosen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contrast:
    """Expert against amateur: alpha is the plausibility cut in (0, 1], beta >= 0 the strength of the contrast."""

    alpha: float
    beta: float


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

    @property
    def streams(self) -> int:
        """Sequences the method keeps per request."""
        return 2 if self.contrast else 1
