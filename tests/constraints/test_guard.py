"""The guard around constraints: whatever goes wrong in one ends in one line with its name."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mindcold.constraints import ConstraintError, ConstraintSet, Regex, TextReward, Vocabulary, guard
from mindcold.errors import AdapterError, RequestError
from mindcold.model_folder import find_folder
from mindcold.tokenizer import Tokenizer
from tests.decoding.fake_constraints import Liked

TOKENIZER = Tokenizer(find_folder("tiny-base"))
VOCABULARY = Vocabulary(TOKENIZER, 2048, (2,))


def start(*constraints):
    return ConstraintSet.start(constraints, VOCABULARY)


class Fails(Liked):
    """Raises in one of its methods, and has a long story to tell."""

    def __init__(self, where, error=None):
        super().__init__([1])
        if where:
            setattr(self, where, self.fail)
        self.error = error

    def fail(self, *_):
        raise self.error

    def start(self, vocabulary):
        return self

    def fork(self):
        return self

    def value(self):
        return 0.5

    def unmet(self):
        return "two\nlines"


CALLS = {
    "start": lambda item: start(item),
    "advance": lambda item: start(item).advance(1),
    "rollback": lambda item: start(item).rollback(0),
    "fork": lambda item: start(item).fork(),
    "value": lambda item: start(item).value(),
    "allowed": lambda item: start(item).allowed(),
    "unmet": lambda item: start(item).unmet(),
}


@pytest.mark.parametrize("where", CALLS)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("colour\nand more"), r"KeyError: 'colour\nand more'"),
        (ValueError("one\n  two"), "ValueError: one two"),
        (RuntimeError(), "RuntimeError"),
        (RequestError("my own\nrefusal"), "my own refusal"),
        (ConstraintError("my own"), "my own"),
        (AdapterError("a file"), "mindcold.errors.AdapterError: a file"),
    ],
)
def test_an_exception_is_one_line_with_the_name(where, error, message):
    with pytest.raises(ConstraintError) as caught:
        CALLS[where](Fails(where, error))
    assert str(caught.value) == f"constraint Fails: {message}"


def test_a_constraint_that_names_itself_is_not_named_twice():
    with pytest.raises(ConstraintError, match=r"^constraint Regex: the model has no tokenizer"):
        ConstraintSet.start([Regex("a")], Vocabulary(None, 4, ()))


def test_what_is_unmet_is_one_line():
    assert start(Fails(None)).unmet() == ["Fails: two lines"]


@pytest.mark.parametrize("value", [float("nan"), 2.0, -0.1, None, "0.5", True, np.ones(2), np.ones((9, 9)), 10**400])
def test_a_value_that_is_none_is_refused_by_name(value):
    with pytest.raises(ConstraintError, match=r"^constraint TextReward: its value is [^\n]*, a number from 0 to 1"):
        start(TextReward(lambda text: value)).value()


@pytest.mark.parametrize("value", [0, 1, 0.25, np.float32(0.5), np.int64(1), np.array(0.5)])
def test_a_value_may_be_any_kind_of_number(value):
    assert start(TextReward(lambda text: value)).value() == float(value)


def test_states_are_judged_together_or_one_by_one():
    seen = []
    judge = TextReward(lambda texts: seen.append(texts) or [len(text) / 100 for text in texts], batched=True)
    states = [start(judge, lambda_reward()) for _ in range(3)]
    for count, state in enumerate(states):
        state.extend(TOKENIZER.encode("the fox", add_special_tokens=False)[:count])
    lengths = [len(TOKENIZER.decode(TOKENIZER.encode("the fox", add_special_tokens=False)[:n])) for n in range(3)]
    assert ConstraintSet.values(states) == pytest.approx([(n / 100 + 0.5) / 2 for n in lengths])
    assert len(seen) == 1 and len(seen[0]) == 3
    assert ConstraintSet.values([start(), start()]) == [1.0, 1.0] and ConstraintSet.values([]) == []


def lambda_reward():
    return TextReward(lambda text: 0.5)


def test_a_wrong_number_of_values_is_refused():
    states = [start(TextReward(lambda texts: [1.0], batched=True)) for _ in range(2)]
    with pytest.raises(ConstraintError, match=r"TextReward.* 1 values for 2 texts"):
        ConstraintSet.values(states)
    own = [start(Together([])) for _ in range(2)]
    with pytest.raises(ConstraintError, match=r"^constraint Together: 1 values for 2 texts"):
        ConstraintSet.values(own)


class Together(Liked):
    def start(self, vocabulary):
        return self

    def values(self, states):
        return [1.0]


class Masks(Liked):
    def __init__(self, mask):
        super().__init__([])
        self.mask = mask

    def start(self, vocabulary):
        return self

    def allowed(self):
        return self.mask


@pytest.mark.parametrize(
    "mask", [np.ones(4, bool), np.ones((1, 2048), bool), np.zeros(2048), [1, 2], [[1], [1, 2]], True]
)
def test_a_mask_of_another_kind_is_refused(mask):
    with pytest.raises(ConstraintError, match=r"^constraint Masks: "):
        start(Masks(mask)).allowed()


def test_masks_are_met_together():
    some, odd = np.arange(2048) < 4, np.arange(2048) % 2 == 1
    assert start(Masks(some), Masks(None), Masks(odd.tolist())).allowed().nonzero()[0].tolist() == [1, 3]
    assert start(Masks(None)).allowed() is None and start().allowed() is None


def test_constraints_that_leave_nothing():
    state = start(Regex("aa c"), Regex("aaa"))
    assert state.allowed().any()
    for token in TOKENIZER.encode("aa", add_special_tokens=False):
        state.advance(token)
    with pytest.raises(ConstraintError, match="Regex, Regex: no token is allowed"):
        state.allowed()


def endless(text):
    while True:
        try:
            time.sleep(0.001)
        except Exception:
            continue


def test_an_endless_constraint_is_stopped(monkeypatch):
    monkeypatch.setattr(guard, "SECONDS", 0.1)
    before, began = signal.getsignal(signal.SIGALRM), time.perf_counter()
    with pytest.raises(ConstraintError, match=r"^constraint TextReward: one evaluation took more than 0\.1 seconds"):
        start(TextReward(endless)).value()
    assert time.perf_counter() - began < 5
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_in_another_thread_slowness_is_found_afterwards(monkeypatch):
    monkeypatch.setattr(guard, "SECONDS", 0.01)
    state = start(TextReward(lambda text: time.sleep(0.05) or 1.0))
    with ThreadPoolExecutor(1) as pool, pytest.raises(ConstraintError, match="more than"):
        pool.submit(state.value).result()
