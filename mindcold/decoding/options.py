"""The keywords of one generation, checked once."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from mindcold.drafting import ADAPTATIONS, SEARCHES
from mindcold.errors import RequestError

SCORES = ("plain", "contrastive")


@dataclass(frozen=True, slots=True)
class Options:
    """Keywords of `generate`, under the names of `transformers`; RequestError names the one that is wrong."""

    max_new_tokens: int = 64
    min_new_tokens: int = 0
    alpha: float = 0.1
    """CoLD: plausibility cut in (0, 1], relative to the expert's best token."""
    beta: float = 0.5
    """CoLD: strength of the contrast, >= 0; 0 is the adapter alone."""
    do_sample: bool | None = None
    temperature: float = 1.0
    top_k: int = 0
    """Keep the k best tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of best tokens with at least this probability."""
    min_p: float = 0.0
    """Drop tokens less probable than this share of the best one."""
    repetition_penalty: float = 1.0
    seed: int = 0
    """Random numbers depend on the seed, the number of the prompt in the call and the position alone."""
    eos_token_id: int | Sequence[int] | None = None
    """End-of-text id or ids; None takes the model's, an empty list or -1 none."""
    stop_strings: str | Sequence[str] | None = None
    draft: str | None = None
    """Drafter: "none" or "trigram"; None takes the method's own. No draft changes the output.

    What looks ahead for "cdsl": "base", "trigram", or a model folder of the same vocabulary.
    """
    constraint: Any = None
    """What must hold or be worth much: a constraint, a list of keywords, a function of text, or a list of these."""
    constraints: Sequence[Any] | None = None
    """The same for each prompt of the call, instead of one for all."""
    score: str = "plain"
    """Of "beam", "cdlh" and "cdsl": "plain", or "contrastive" for CoLD's."""
    num_beams: int = 4
    """Sequences "beam" follows."""
    length_penalty: float = 1.0
    """What "beam" divides by: the length to this power."""
    lookahead: int = 8
    """Tokens "cdlh" and "cdsl" look ahead."""
    candidates: int = 16
    """Best tokens they choose from."""
    reward_weight: float = 8.0
    """What a reward of 1 counts beside the natural log-probability of the candidate."""
    exhaustive: bool = False
    """Look ahead for those candidates too that cannot win; changes the time alone."""
    tau_a: float = 0.0
    """"cdsl": share of the draft the target has to agree with."""
    tau_r: float = 0.5
    """"cdsl": reward the draft has to reach, for keywords the share of the missing ones."""
    draft_tokens: int | None = None
    """Size of every draft tree; None chooses it by what it gains."""
    search: str = "best_first"
    """How a trigram tree is found: "best_first", or "mcts" as published."""
    adaptation: str = "decay"
    """How trigrams learn as decoding goes: "decay", or "aded" as published."""
    prefill_chunk: int = 256
    """Rows of one prefill step, at most 256."""

    def __post_init__(self) -> None:
        _integer(self, "max_new_tokens", 1)
        _integer(self, "min_new_tokens", 0)
        _integer(self, "top_k", 0)
        _integer(self, "seed", 0)
        _integer(self, "prefill_chunk", 2, 256)
        for name, known in (("score", SCORES), ("search", SEARCHES), ("adaptation", ADAPTATIONS)):
            value = getattr(self, name)
            if value not in known:
                raise RequestError(f"{name}: {value!r} is not one of {', '.join(known)}")
        if self.draft_tokens is not None:
            _integer(self, "draft_tokens", 1, 64)
        _integer(self, "num_beams", 1, 64)
        _number(self, "length_penalty", -math.inf, math.inf, "other than inf and nan")
        _integer(self, "lookahead", 0, 64)
        _integer(self, "candidates", 1, 32)
        _number(self, "reward_weight", 0, math.inf, ">= 0")
        _number(self, "tau_a", 0, math.inf, ">= 0")
        _number(self, "tau_r", 0, math.inf, ">= 0")
        _number(self, "alpha", 0, 1, "in (0, 1]", open_low=True)
        _number(self, "beta", 0, math.inf, ">= 0")
        _number(self, "temperature", 0, math.inf, "> 0", open_low=True)
        _number(self, "top_p", 0, 1, "in (0, 1]", open_low=True)
        _number(self, "min_p", 0, 1, "in [0, 1]")
        _number(self, "repetition_penalty", 0, math.inf, "> 0", open_low=True)
        if self.exhaustive not in (True, False):
            raise RequestError(f"exhaustive: true or false is expected, found {self.exhaustive!r}")
        if self.do_sample not in (None, True, False):
            raise RequestError(f"do_sample: true or false is expected, found {self.do_sample!r}")
        for text in self.stops:
            if not isinstance(text, str) or not text:
                raise RequestError(f"stop_strings: non-empty strings are expected, found {text!r}")

    @classmethod
    def of(cls, keywords: dict[str, Any]) -> "Options":
        """Options from keywords; an unknown one is refused with the nearest known name."""
        known = [item.name for item in fields(cls)]
        for name in keywords:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
                raise RequestError(f"{name}: not a keyword of generate{hint}")
        return cls(**keywords)

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings as a tuple."""
        if self.stop_strings is None:
            return ()
        return (self.stop_strings,) if isinstance(self.stop_strings, str) else tuple(self.stop_strings)

    def eos(self, default: tuple[int, ...], vocab_size: int) -> tuple[int, ...]:
        """End-of-text ids of this generation; `default` are the model's."""
        if self.eos_token_id is None:
            return default
        given = self.eos_token_id if isinstance(self.eos_token_id, Sequence) else [self.eos_token_id]
        for item in given:
            if not is_token(item, vocab_size) and item != -1:
                raise RequestError(f"eos_token_id: {item!r} is not a token id below vocab_size {vocab_size}")
        return tuple(int(item) for item in given if item != -1)


def is_token(value: Any, vocab_size: int) -> bool:
    """Whether a value is a token id of this vocabulary (Python or NumPy integer)."""
    return hasattr(value, "__index__") and not isinstance(value, bool) and 0 <= value.__index__() < vocab_size


def _integer(options: Options, name: str, low: int, high: int | None = None) -> None:
    value = getattr(options, name)
    if not hasattr(value, "__index__") or isinstance(value, bool) or value < low or (high and value > high):
        limit = f"from {low} to {high}" if high else f">= {low}"
        raise RequestError(f"{name}: an integer {limit} is expected, found {value!r}")


def _number(options: Options, name: str, low: float, high: float, limit: str, open_low: bool = False) -> None:
    value = getattr(options, name)
    if not hasattr(value, "__float__") or isinstance(value, bool) or not math.isfinite(value):
        raise RequestError(f"{name}: a number {limit} is expected, found {value!r}")
    if value < low or value > high or (open_low and value == low):
        raise RequestError(f"{name}: a number {limit} is expected, found {value!r}")
