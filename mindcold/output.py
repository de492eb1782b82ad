"""What generation returns: tokens as they come, and the whole when it is done."""

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from mindcold.decoding import RequestState
from mindcold.errors import RequestError, shown
from mindcold.tokenizer import Detokenizer, Tokenizer


class Streamer(Protocol):
    """What `transformers` and MindFormers call a streamer."""

    def put(self, value: Any) -> None: ...

    def end(self) -> None: ...


def check_streamer(streamer: Any, single: bool) -> None:
    """RequestError for what is no streamer, and for one of several prompts."""
    if not all(callable(getattr(streamer, name, None)) for name in ("put", "end")):
        raise RequestError(f"streamer: an object with put and end is expected, found {shown(streamer)}")
    if not single:
        raise RequestError("streamer: only one prompt at a time can be streamed")


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


@dataclass(frozen=True, slots=True)
class GenerationStats:
    """Counts and times of one generation, in seconds."""

    method: str
    prompt_tokens: int
    new_tokens: int
    target_passes: int
    """Steps of the model in which the request had rows."""
    drafted: int
    accepted: int
    accept_lengths: tuple[int, ...]
    """Passes that accepted no draft token, one, two, ..."""
    drafting_seconds: float
    """Time spent on drafts between the steps."""
    draft_cap: int | None
    """Draft nodes a step had room for, where that was fewer than `draft_tokens` asked for."""
    seconds: float
    seconds_to_first_token: float | None
    tokens_per_second: float | None
    """After the first token."""
    reward: float | None = None
    """Value of the constraints at the end."""
    unmet: tuple[str, ...] = ()
    """What of them is not met, in words."""
    draft_passes: int = 0
    """Steps of the model that drafts or looks ahead."""
    weight_bytes: int = 0
    """Memory of the matrices of all models it used."""
    kv_bytes: int = 0
    """Memory of the keys and values reserved for it."""
    error: str | None = None
    """Why it ended with finish_reason "error"."""


@dataclass(frozen=True, slots=True)
class RankedText:
    """One of the texts a search has found."""

    token_ids: list[int]
    text: str
    score: float
    """Sum of its log-probabilities / length ** length_penalty for beams, their mean for samples."""
    reward: float | None = None
    """Value of its constraints, where they rank it."""


@dataclass(frozen=True, slots=True)
class Output:
    """One finished generation."""

    token_ids: list[int]
    """New tokens, the end-of-text token included."""
    text: str
    """Their text; ends with the stop string where one ended it."""
    finish_reason: str
    """"stop" for end-of-text or a stop string, "length" for max_new_tokens, "error" for a request that failed."""
    stats: GenerationStats
    ranked: list[RankedText] = field(default_factory=list)
    """All texts a search has found (beams, samples), the given one first; empty for methods that write one."""
    top_logprobs: list[list[tuple[int, float]]] = field(default_factory=list)
    """With `top_logprobs`: the best tokens of the place of each new token, best first, with their natural
    log-probabilities under the score (before temperature and penalties); fewer where fewer may come."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


class TextStream:
    """The text of a request as its tokens come; a stopping criterion where stop strings are given."""

    def __init__(self, tokenizer: Tokenizer | None, stops: tuple[str, ...]):
        self._tokenizer = tokenizer
        self._writer, self._stops, self._tail = Detokenizer(tokenizer), stops, ""
        self._pieces: list[str] = []
        self._read = 0

    def __call__(self, token: int, last: bool) -> bool:
        """Take the next token; whether a stop string ends the text, which is cut right after it."""
        piece, ended = self._writer.push(token, last=last), False
        if self._stops:
            tail = self._tail + piece
            end = _stop_end(tail, self._stops)
            if end is not None:
                piece, ended = piece[: len(piece) - (len(tail) - end)], True
            self._tail = tail[-max(map(len, self._stops)) :]
        self._pieces.append(piece)
        return ended

    def fresh(self) -> "TextStream":
        """One for another text with the same stop strings."""
        return TextStream(self._tokenizer, self._stops)

    def whole(self, token_ids: list[int]) -> str:
        """The text of token ids, cut as this one."""
        stream = self.fresh()
        for i, token in enumerate(token_ids):
            if stream(token, i == len(token_ids) - 1):
                break
        return stream.text

    def next(self) -> str:
        """What the next token that has not been read yet adds to the text."""
        self._read += 1
        return self._pieces[self._read - 1]

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)


def output_of(state: RequestState, stream: TextStream) -> Output:
    """The Output of a request that has ended, whose text went through `stream`."""
    count = len(state.token_ids)
    decoding = state.ended - state.first_token
    stats = GenerationStats(
        method=state.method.name,
        prompt_tokens=len(state.prompt),
        new_tokens=count,
        target_passes=state.target_passes,
        drafted=state.drafted,
        accepted=state.accepted,
        accept_lengths=tuple(state.accept_lengths),
        drafting_seconds=round(state.drafting_seconds, 6),
        draft_cap=state.draft_cap,
        seconds=round(state.ended - state.started, 6) if count else 0.0,
        seconds_to_first_token=round(state.first_token - state.started, 6) if count else None,
        tokens_per_second=round((count - 1) / decoding, 3) if decoding > 0 else None,
        reward=state.reward,
        unmet=tuple(state.unmet),
        draft_passes=state.draft_passes,
        weight_bytes=state.weight_bytes,
        kv_bytes=state.kv_bytes,
        error=str(state.error) if state.error else None,
    )
    ranked = [
        RankedText(item.token_ids, stream.whole(item.token_ids), round(item.score, 6), item.reward)
        for item in state.ranked
    ]
    return Output(
        list(state.token_ids), stream.text, state.finish_reason or "length", stats, ranked, state.top_logprobs
    )


def _stop_end(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the earliest stop string in `text` ends, or None."""
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    return min(ends) if ends else None
