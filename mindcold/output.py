"""What generation returns: tokens as they come, and the whole when it is done."""

from dataclasses import asdict, dataclass, field
from typing import Any

from mindcold.decoding.request import Request


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token."""

    id: int
    text: str
    """What it adds to the text; empty while a character is incomplete or the model has no tokenizer."""
    logprob: float
    """Natural log of its probability under the score it was chosen by."""
    from_draft: bool = False
    """Whether a drafter had proposed it."""


@dataclass(slots=True)
class Output:
    """One finished generation."""

    token_ids: list[int]
    """New tokens, the end-of-text token included."""
    text: str
    """Their text; ends with the stop string where one ended it."""
    finish_reason: str
    """"stop" for end-of-text or a stop string, "length" for the token budget, "error" for a constraint that failed."""
    stats: dict[str, Any] = field(default_factory=dict)
    """Counts and times: prompt_tokens, new_tokens, target_passes, drafted, accepted, accept_lengths (passes that
    accepted no draft token, one, ...), seconds, tokens_per_second, drafting_seconds (between the steps);
    under constraints reward, unmet (what is missing, in words) and draft_passes."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def output_of(request: Request, text: str) -> Output:
    """The Output of a request that has ended."""
    count, seconds = len(request.token_ids), request.ended - request.started
    decoding = request.ended - request.first_token
    stats = {
        "method": request.method.name,
        "prompt_tokens": len(request.prompt),
        "new_tokens": count,
        "target_passes": request.target_passes,
        "drafted": request.drafted,
        "accepted": request.accepted,
        "accept_lengths": list(request.accept_lengths),
        "drafting_seconds": round(request.drafting_seconds, 6),
        "seconds": round(seconds, 6),
        "seconds_to_first_token": round(request.first_token - request.started, 6),
        "tokens_per_second": round((count - 1) / decoding, 3) if decoding > 0 else None,
    }
    if request.constraint:
        stats |= {"reward": request.reward, "unmet": request.unmet, "draft_passes": request.draft_passes}
    if request.error:
        stats["error"] = request.error
    return Output(list(request.token_ids), text, request.finish_reason or "length", stats)
