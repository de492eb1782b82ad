"""Keywords of `generate` and arguments of `load`, of any type and size."""

from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

import mindcold
from mindcold.sampling_params import SamplingParams

KIND = "options"

_ARRAYS = st.sampled_from(
    [np.array(1), np.array(0.5), np.array([1]), np.ones((1, 1)), np.ones((1, 1, 1), int), np.array([True, False])]
)
_NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.floats(-2, 2),
    st.sampled_from([float("nan"), float("inf"), 1e-320, 1e308, 10**30, 10**400, -(10**400), 2**63, 2**31]),
    st.sampled_from([np.int64(2), np.float32(0.5), np.float64("nan"), np.True_, np.uint8(255), np.timedelta64(3)]),
    st.sampled_from([Decimal("0.5"), Decimal("sNaN"), Decimal("1e999"), Fraction(1, 3), Fraction(10**400), 1j]),
)
_TEXTS = st.one_of(
    st.sampled_from(
        ["", "plain", "contrastive", "trigram", "aded", "none", "base", "mcts", "cold", "tiny-steps", "\0"]
    ),
    st.text(max_size=6),
    st.sampled_from(["\ud800", "x" * 5000, "/dev/zero", "../..", "a\nb"]),
)
_PLAIN = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS, st.binary(max_size=3), _ARRAYS, st.just(object))
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=2) | st.tuples(inner, inner),
    max_leaves=5,
)
_GOOD: dict[str, list[Any]] = {
    "eos_token_id": [2, [3, 4], -1, np.array([5])],
    "stop_strings": ["a", ["b", "c"]],
    "suppress_tokens": [[7], np.array([8, 9])],
    "bad_words_ids": [[[5, 6]], np.array([[1, 2]])],
    "constraint": [["king"], {"keywords": ["lake"]}, {"forbidden": ["king"]}],
    "draft": ["trigram", "none", "aded"],
}
"""Values that are right, of keywords whose declaration does not say them."""


def _keyword(name: str) -> st.SearchStrategy[Any]:
    """Values of a keyword, half of them right."""
    about = SamplingParams.__dataclass_fields__[name].metadata
    low, high = max(about["low"], 0), min(about["high"], 3)
    good: st.SearchStrategy[Any] = st.sampled_from(_GOOD.get(name, about["choices"] or [None]))
    if about["kind"] is bool:
        good = st.booleans()
    elif about["kind"] is int:
        good = st.integers(int(low), int(max(low, high)))
    elif about["kind"] is float:
        good = st.floats(low, high, exclude_min=about["above"])
    return st.tuples(st.just(name), good | _VALUES)


_KEYWORDS = st.one_of([_keyword(name) for name in SamplingParams.__dataclass_fields__])
_ARGUMENTS = st.tuples(st.sampled_from(["adapter", "streamer", "method", "constraints", "no_such"]), _VALUES)
_METHODS = st.sampled_from([None, None, "sample", "cold", "beam", "cdlh", "aded", "magic"])
_GENERATE = st.tuples(
    st.just("generate"),
    st.one_of(st.just([5, 6]), st.just([5, 6]), _VALUES),
    st.lists(_KEYWORDS | _KEYWORDS | _ARGUMENTS, min_size=1, max_size=2).map(dict),
    _METHODS,
)
_LOAD = st.tuples(
    st.just("load"),
    st.just("nowhere") | _VALUES,
    st.dictionaries(st.sampled_from(["adapter", "dtype", "backend", "max_batch", "draft_memory"]), _VALUES, max_size=2),
    st.none(),
)


def strategy() -> st.SearchStrategy[Any]:
    """A call, its first argument, its keywords and its method."""
    return _GENERATE | _GENERATE | _GENERATE | _LOAD


@cache
def _model() -> mindcold.LLM:
    return mindcold.load("tiny-base", "tiny-steps", max_batch=2)


def run(case: Any) -> None:
    """Call it; what is accepted writes two tokens at most."""
    call, first, keywords, method = case
    if call == "load":
        mindcold.load(first, **keywords)
        return
    given = {"method": method} | keywords
    budget = SamplingParams.of({"max_new_tokens": given.get("max_new_tokens", 2)}).max_new_tokens
    _model().generate(first, **given | {"max_new_tokens": min(budget, 2)})
