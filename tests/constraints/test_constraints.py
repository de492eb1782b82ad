"""Constraints: what they are worth, what they say is missing, and that going back is as if never gone."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcold.constraints import (
    ConstraintError,
    ConstraintSet,
    Forbidden,
    Json,
    Keywords,
    Regex,
    SqlExecutes,
    TextReward,
    Vocabulary,
    parse_constraint,
)
from mindcold.errors import RequestError
from mindcold.model_folder import find_folder
from mindcold.tokenizer import Tokenizer

TOKENIZER = Tokenizer(find_folder("tiny-base"))
VOCABULARY = Vocabulary(TOKENIZER, 2048, (2,))
KINDS = {
    "keywords": lambda: Keywords(["farmer", "apple"]),
    "forbidden": lambda: Forbidden(["the fox"]),
    "regex": lambda: Regex("(the |farmer |apples? |fox )*"),
    "reward": lambda: TextReward(lambda text: 1 / (1 + len(text))),
}


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        (["farm", "apple"], "farm|er| apple|s|."),
        (["it", "it's"], "it|'|s| \u2019|\u2019|."),
        (["old house", "caf", "ran"], "old| house|hold|caf|é| ran"),
    ],
)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_continuation_loses_the_floor(words, pieces, data):
    """Of texts of letters, apostrophes and broken bytes, token by token; a last word counts only once it is closed."""
    state = ConstraintSet.start([Keywords(words)], VOCABULARY)
    ids = [i for text in pieces.split("|") for i in TOKENIZER.encode(text, add_special_tokens=False)]
    floors = [0.0]
    for token in data.draw(st.lists(st.sampled_from(ids), max_size=25)):
        state.advance(token)
        assert state.value() >= max(floors)
        floors.append(state.floor())
        assert floors[-1] <= state.value()


def test_a_word_that_may_go_on_is_not_in_the_floor():
    assert Keywords(["farm"]).kept("the farm") == 0.0 and Keywords(["farm"]).kept("the farm ") == 1.0
    assert Keywords(["farm"]).coverage("the farmer") == 0.0
    both = ConstraintSet.start([Keywords(["the"]), TextReward(lambda text: 1.0)], VOCABULARY)
    both.extend(TOKENIZER.encode("the end.", add_special_tokens=False))
    assert both.value() == 1.0 and both.floor() == 0.5  # nobody says what a reward function keeps


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_going_back_is_as_if_never_gone(kind, data):
    """Random walks of advance, rollback and fork against a replay of the accepted tokens from scratch."""
    words = TOKENIZER.encode("the farmer apples apple fox", add_special_tokens=False)
    state, accepted = KINDS[kind]().start(VOCABULARY), []
    for _ in range(data.draw(st.integers(1, 12))):
        action = data.draw(st.sampled_from(["advance", "advance", "rollback", "fork"]))
        if action == "rollback":
            count = data.draw(st.integers(0, len(accepted)))
            state.rollback(count)
            del accepted[len(accepted) - count :]
        elif action == "fork":
            other = state.fork()
            other.advance(words[0])
        else:
            accepted.append(data.draw(st.sampled_from(words)))
            state.advance(accepted[-1])
        replay = KINDS[kind]().start(VOCABULARY)
        for token in accepted:
            replay.advance(token)
        assert state.value() == replay.value()
        mine, its = state.allowed(), replay.allowed()
        assert (mine is None and its is None) or np.array_equal(mine, its)


def test_keywords_count_in_any_form_and_order():
    words = Keywords(["apple", "run", "old house"])
    assert words.coverage("They were running in old houses with an Apple.") == 1.0
    assert Keywords(["scarf|scarves", "run"]).coverage("two scarves") == 0.5
    assert words.coverage("apples") == pytest.approx(1 / 3)
    assert words.coverage("pineapple, house, old") == 0.0
    assert Forbidden(["stupid fool"]).cleanness("You stupid fools!") == 0.0
    assert Forbidden(["stupid fool"]).cleanness("A fool, stupid.") == 1.0


@pytest.mark.parametrize("words", [[], ["..."], ["apple", ""], ["apple|"]])
def test_keywords_that_are_none(words):
    with pytest.raises(ConstraintError, match="Keywords"):
        Keywords(words)


@pytest.mark.parametrize("kind", [Keywords, Forbidden])
@pytest.mark.parametrize("words", [5, ["apple", 5], [[]], None, {"apple": 1}, ["x" * 10**6, None]])
def test_words_that_are_no_texts(kind, words):
    with pytest.raises(ConstraintError, match=f"constraint {kind.__name__}: a list of .* is expected") as caught:
        kind(words)
    assert len(str(caught.value)) < 300
    with pytest.raises(ConstraintError, match=f"constraint {kind.__name__}: language: no stemmer for 'klingon'"):
        kind(["apple"], "klingon")


class NoLetters:
    """A tokenizer that loses letters."""

    def encode(self, text):
        return [0]

    def decode(self, ids):
        return ""


def test_a_keyword_the_tokenizer_cannot_spell():
    with pytest.raises(ConstraintError, match="cannot spell 'apple'"):
        Keywords(["apple"]).start(Vocabulary(NoLetters(), 4, ()))
    with pytest.raises(ConstraintError, match="no tokenizer"):
        Keywords(["apple"]).start(Vocabulary(None, 4, ()))


def walk(limit, text):
    """The state after a text."""
    state = limit.start(VOCABULARY)
    for token in TOKENIZER.encode(text, add_special_tokens=False):
        assert state.allowed()[token], TOKENIZER.decode([token])
        state.advance(token)
    return state


def test_regex_allows_what_can_still_match():
    state = walk(Regex("[0-9]{2} apples"), "12")
    assert state.value() == 0.0 and not state.allowed()[2]
    assert not state.allowed()[TOKENIZER.encode("7", add_special_tokens=False)[-1]]
    state = walk(Regex("[0-9]{2} apples"), "12 apples")
    assert state.value() == 1.0 and state.allowed()[2]


def test_json_follows_its_schema():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert walk(Json(schema), json.dumps({"n": 12})).value() == 1.0
    with pytest.raises(ConstraintError, match="Json"):
        Json("{")
    with pytest.raises(ConstraintError, match="Regex"):
        Regex("(").start(VOCABULARY)


def state_of(item, text):
    state = ConstraintSet.start(parse_constraint(item), VOCABULARY)
    for token in TOKENIZER.encode(text, add_special_tokens=False):
        state.advance(token)
    return state


@pytest.mark.parametrize(
    ("item", "text", "unmet"),
    [
        (["farmer", "apple", "lake"], "the farmer ate apples", ["Keywords: lake missing"]),
        (["farmer", "apple"], "the farmer ate apples", []),
        (Forbidden(["the fox", "the cat"]), "the fox ran", ["Forbidden: the fox forbidden"]),
        (Regex("the (fox|cat)"), "the fo", ["Regex: the text is not complete"]),
        (Regex("the (fox|cat)"), "the farmer", ["Regex: the text does not match"]),
        (SqlExecutes("create table a (b)"), "select c from a", ["SqlExecutes: no such column: c"]),
        (lambda text: 0.25, "the fox", ["TextReward: value 0.25"]),
        ([["fox"], Forbidden(["fox"])], "the fox", ["Forbidden: fox forbidden"]),
        ([["fox"], Forbidden(["fox"])], "the", ["Keywords: fox missing"]),
    ],
)
def test_what_is_not_met_is_said(item, text, unmet):
    assert state_of(item, text).unmet() == unmet


@pytest.mark.parametrize(
    "pattern", ["a{100000}", "(a{1,300}){1,300}", "(a|b)*a(a|b){30}", ".*a" + "." * 40, "(" * 9999]
)
def test_a_pattern_beyond_all_bounds_is_one_line(pattern):
    with pytest.raises(ConstraintError, match=r"^constraint Regex: ") as caught:
        Regex(pattern, seconds=0.5).start(VOCABULARY)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 10**6},
        {"type": "array", "items": {"type": "string", "maxLength": 3000}, "maxItems": 3000},
        '{"allOf": ' * 9999,
        {"$ref": "#"},
        {"type": "object", "properties": {"x": {"enum": [{1, 2}]}}},
    ],
)
def test_a_schema_beyond_all_bounds_is_one_line(schema):
    with pytest.raises(ConstraintError, match=r"^constraint (Regex|Json)") as caught:
        Json(schema, seconds=0.5).start(VOCABULARY)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_an_automaton_is_compiled_once_for_a_tokenizer(monkeypatch):
    Regex("once [0-9]").start(VOCABULARY)
    monkeypatch.setattr("mindcold.constraints.regex.call", None)
    assert walk(Regex("once [0-9]"), "once 7").value() == 1.0


def test_words_and_phrases_are_texts():
    assert Keywords("king").words == Keywords(("king",)).words == ["king"] and Forbidden("a king").phrases == ["a king"]
    for kind in (Keywords, Forbidden):
        for words in (5, None, [5], [None], [["king"]], b"king", [True], ["\ud800"], {"king": 1}):
            with pytest.raises(ConstraintError, match=f"constraint {kind.__name__}: a list of "):
                kind(words)
        for language in ("klingon", 5, None, ["english"]):
            with pytest.raises(ConstraintError, match=f"constraint {kind.__name__}: language: no stemmer for"):
                kind(["king"], language)


def test_constraints_in_constraints_have_an_end():
    endless = []
    endless.append([endless, 1])
    with pytest.raises(RequestError, match="constraint: nested too deep"):
        parse_constraint(endless)
