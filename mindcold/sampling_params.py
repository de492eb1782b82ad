"""The keywords of one generation, declared once with type, bounds and help: the command line follows from here."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from mindcold import values
from mindcold.errors import RequestError, one_line, shown

SCORES = ("plain", "contrastive")
SEARCHES = ("best_first", "mcts")
"""How a trigram tree is found: best first is optimal for a budget and looks deeper; the other is ADED's own Monte Carlo
tree search."""
ADAPTATIONS = ("decay", "aded")
"""How trigrams learn: with forgetting, or by the published rule."""
DRAFTS: dict[str, dict[str, Any]] = {
    "trigram": {},
    "aded": {"search": "mcts", "adaptation": "aded", "draft_tokens": 64},
    "lookahead": {},
}
"""Names of drafts without a second model, and the keywords they stand for where none is given; aded is as published
(arXiv 2407.12021 and its code), lookahead is lookahead decoding (arXiv 2402.02057)."""

_WIDE = 1e5
"""Upper bounds from here on are those of arithmetic, not of sense."""

ALWAYS, SAMPLING, CONTRAST, SCORE, PRECISION = "always", "sampling", "contrast", "score", "precision"
LIKELY = "likely tokens"
"""What a method must have for a keyword to mean something; other groups are named by the method's search."""

DTYPES = ("float32", "bfloat16", "int8")
"""How weights are kept, from the highest precision on."""

DRAFT, TABLES, MODEL_DRAFT, DRAFT_ADAPTER, WINDOW = "draft", "tables", "draft model", "draft adapter", "window"
"""The same of a draft, see `draft_groups`."""


def _param(
    default: Any,
    text: str,
    kind: type,
    group: str = ALWAYS,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: bool = False,
    choices: Sequence[str] = (),
) -> Any:
    """A keyword: its default, one line of help, its type, who uses it, and its bounds (`above` leaves `low` out)."""
    about = {"help": text, "kind": kind, "group": group, "low": low, "high": high, "above": above}
    return field(default=default, metadata=about | {"choices": tuple(choices)})


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Keywords of `generate`, under the names of `transformers`; RequestError names the one that is wrong."""

    max_new_tokens: int = _param(64, "new tokens at most", int, low=1)
    min_new_tokens: int = _param(0, "no end of text before this many new tokens", int, low=0)
    eos_token_id: int | Sequence[int] | None = _param(
        None, "end-of-text id or ids; the model's by default, -1 for none", object
    )
    stop_strings: str | Sequence[str] | None = _param(None, "end after this text", object)
    suppress_tokens: Sequence[int] | None = _param(None, "ids that never come", object)
    bad_words_ids: Sequence[Sequence[int]] | None = _param(None, "sequences of ids that never come", object)
    repetition_penalty: float = _param(
        1.0, "divide the positive scores of seen tokens by this, multiply the negative ones", float, low=1e-6, high=1e6
    )
    seed: int = _param(0, "random numbers depend on it, the number of the prompt and the position alone", int, low=0)
    top_logprobs: int = _param(
        0,
        "best tokens of each place that come with the output, with their log-probabilities",
        int,
        LIKELY,
        low=0,
        high=20,
    )
    prefill_chunk: int = _param(256, "rows of one prefill step", int, low=2, high=256)

    do_sample: bool | None = _param(None, "draw instead of taking the best token", bool)
    temperature: float = _param(1.0, "of the draw", float, SAMPLING, low=0, above=True)
    top_k: int = _param(0, "draw among the k best tokens; 0 for all", int, SAMPLING, low=0)
    top_p: float = _param(
        1.0, "draw among the best tokens that have this much probability", float, SAMPLING, low=0, high=1, above=True
    )
    min_p: float = _param(
        0.0, "drop tokens less probable than this share of the best one", float, SAMPLING, low=0, high=1
    )

    score: str = _param("plain", "of beam, cdlh and cdsl: plain, or contrastive as in CoLD", str, SCORE, choices=SCORES)
    alpha: float = _param(
        0.1, "CoLD: plausibility cut relative to the expert's best token", float, CONTRAST, low=0, high=1, above=True
    )
    beta: float = _param(
        0.5, "CoLD: strength of the contrast; 0 is the adapter alone", float, CONTRAST, low=0, high=1e6
    )

    draft: str | None = _param(
        None, "none, trigram, aded (as published), lookahead, base, or a model folder of the same vocabulary", str
    )
    draft_tokens: int | None = _param(
        None, "nodes of every draft tree; by default what gains most", int, DRAFT, low=1, high=64
    )
    draft_adapter: str | None = _param(None, "adapter of the model that drafts; none by default", str, DRAFT_ADAPTER)
    draft_width: int = _param(
        1, "tokens a model that drafts tries at each place: 1 is a chain, more a tree", int, MODEL_DRAFT, low=1, high=8
    )
    draft_sample: bool = _param(
        False, "draw the drafts of a model, and accept them by modified rejection", bool, MODEL_DRAFT
    )
    search: str = _param("best_first", "of the trigram tree; mcts is ADED's own", str, TABLES, choices=SEARCHES)
    adaptation: str = _param("decay", "of the trigrams; aded is as published", str, TABLES, choices=ADAPTATIONS)

    lookahead_window: int = _param(5, "W of lookahead decoding: columns of its window", int, WINDOW, low=1, high=32)
    ngram_size: int = _param(4, "N of lookahead decoding: tokens of an n-gram", int, WINDOW, low=2, high=16)
    guess_set_size: int = _param(
        5, "G of lookahead decoding: n-grams verified in a step, and kept of a token", int, WINDOW, low=1, high=32
    )
    pool_from_prompt: bool = _param(
        True, "lookahead decoding also takes n-grams from the prompt and the output", bool, WINDOW
    )
    amateur: str = _param(
        "base", "of scd: base, or a model folder of the same vocabulary that drafts and is contrasted", str, "amateur"
    )

    constraint: Any = _param(  # noqa: RUF009 - a field
        None, "what must hold or is worth much: a constraint, keywords, a function of text, or a list of these", object
    )
    num_beams: int = _param(4, "sequences beam search follows", int, "beam", low=1, high=64)
    length_penalty: float = _param(
        1.0, "beam search divides by the length to this power", float, "beam", low=-32, high=32
    )
    rerank: bool = _param(False, "take the ended beam that is worth most to constraint=", bool, "beam")
    num_candidates: int = _param(8, "texts best_of draws", int, "best of", low=1, high=64)
    high_precision_steps: int = _param(
        10, "tokens pmpd decides with the loaded weights, beside the prompt", int, PRECISION, low=1
    )
    low_dtype: str = _param("int8", "of the weights pmpd goes on with", str, PRECISION, choices=DTYPES)
    lookahead: int = _param(8, "tokens cdlh and cdsl look ahead", int, "lookahead", low=0, high=64)
    candidates: int = _param(16, "best tokens they choose from", int, "lookahead", low=1, high=32)
    reward_weight: float = _param(
        8.0, "what a reward of 1 counts beside the log-probability of a candidate", float, "lookahead", low=0, high=1e9
    )
    exhaustive: bool = _param(
        False, "look ahead for candidates too that cannot win; changes the time alone", bool, "lookahead"
    )
    tau_a: float = _param(0.5, "cdsl: share of a draft the target has to agree with", float, "acceptance", low=0)
    tau_r: float = _param(
        1.0, "cdsl: reward a draft has to reach, for keywords the share of the missing ones", float, "acceptance", low=0
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None or item.default is not None:
                object.__setattr__(self, item.name, _read(item.name, value, item.metadata))
        if self.rerank and self.constraint is None:
            raise RequestError("rerank: beams are ranked by a constraint; give constraint=")

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> "SamplingParams":
        """Parameters from keywords; an unknown one is refused with the nearest known name."""
        known = [item.name for item in fields(cls)]
        for name in keywords:
            if name not in known:
                short = one_line(name, 60)
                near = difflib.get_close_matches(short, known, 1)
                hint = f", did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
                raise RequestError(f"{short}: not a keyword of generate{hint}")
        return cls(**keywords)

    def preset(self, draft: str) -> "SamplingParams":
        """With the keywords a draft of this name stands for; those that are given stay."""
        given = {name for name, _ in self.given()}
        return replace(self, **{name: value for name, value in DRAFTS.get(draft, {}).items() if name not in given})

    def given(self) -> list[tuple[str, str]]:
        """Name and group of each keyword that differs from its default."""
        found = []
        for item in fields(self):
            value = getattr(self, item.name)
            same = value is item.default or (isinstance(value, (bool, int, float, str)) and value == item.default)
            if not same:
                found.append((item.name, item.metadata["group"]))
        return found

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
        return tuple(token_ids("eos_token_id", [item for item in given if item != -1], vocab_size))

    def bad_words(self, vocab_size: int) -> list[tuple[int, ...]]:
        """Sequences of ids that never come: those of `suppress_tokens` and `bad_words_ids`."""
        single = token_ids("suppress_tokens", self.suppress_tokens or [], vocab_size)
        words = [tuple(token_ids("bad_words_ids", word, vocab_size)) for word in self.bad_words_ids or []]
        if not all(words):
            raise RequestError("bad_words_ids: lists of at least one id are expected")
        return [*((item,) for item in single), *words]


def draft_groups(draft: str) -> set[str]:
    """Groups of keywords that mean something for a draft of this name, where its method knows them."""
    if draft == "none":
        return set()
    if draft == "lookahead":
        return {WINDOW}
    return {DRAFT, TABLES} if draft in DRAFTS else {DRAFT, MODEL_DRAFT, DRAFT_ADAPTER}


DRAFT_GROUPS = frozenset({DRAFT, TABLES, MODEL_DRAFT, DRAFT_ADAPTER, WINDOW})


def token_ids(name: str, given: Sequence[int], vocab_size: int) -> list[int]:
    """Token ids of a keyword, which are those of this vocabulary; RequestError names it."""
    for item in given:
        if not 0 <= item < vocab_size:
            raise RequestError(f"{name}: {item} is not a token id below vocab_size {vocab_size}")
    return list(given)


def _read(name: str, value: Any, about: Mapping[str, Any]) -> Any:
    """A value as the plain one it stands for; RequestError for another type and what is out of bounds."""
    if name in _LISTS:
        read, what = _LISTS[name]
        found = read(value)
        if found is None:
            raise RequestError(f"{name}: {what}, found {shown(value)}")
        return found
    kind = about["kind"]
    if kind is object:
        return value
    if kind is bool:
        found = values.flag(value)
        if found is None:
            raise RequestError(f"{name}: true or false is expected, found {shown(value)}")
    elif kind is str:
        found = values.text(value)
        if not found or (about["choices"] and found not in about["choices"]):
            if not about["choices"]:
                raise RequestError(f"{name}: a name is expected, found {shown(value)}")
            raise RequestError(f"{name}: {shown(value)} is not one of {', '.join(about['choices'])}")
    else:
        what = "an integer" if kind is int else "a number"
        found = values.integer(value) if kind is int else values.number(value)
        if found is None or not about["low"] <= found <= about["high"] or (about["above"] and found == about["low"]):
            raise RequestError(f"{name}: {what} {bounds(about, found)} is expected, found {shown(value)}")
    return found


_LISTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "eos_token_id": (values.integer_or_integers, "a token id or a list of token ids is expected"),
    "stop_strings": (values.texts, "non-empty strings are expected"),
    "suppress_tokens": (values.integers, "a list of token ids is expected"),
    "bad_words_ids": (values.lists_of_integers, "a list of token ids is expected for each sequence"),
}
"""Keywords that hold lists: what reads them, and what they are."""


def bounds(about: Mapping[str, Any], found: float | None = None) -> str:
    """The bounds of a keyword in words; those of arithmetic where `found` exceeds them."""
    low, high = about["low"], about["high"]
    if math.isfinite(low) and math.isfinite(high):
        if about["kind"] is int:
            return f"from {low} to {high}"
        if high >= _WIDE:
            least = f"{'>' if about['above'] else '>='} {low:g}"
            return f"{least} and up to {high:g}" if found is not None and found > high else least
        return f"in {'(' if about['above'] else '['}{low:g}, {high:g}]"
    if math.isfinite(low):
        return f"{'>' if about['above'] else '>='} {low:g}"
    return "other than inf and nan"
