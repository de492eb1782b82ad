"""The seeded corpus: the same text for the same seed, right solutions, splits that share no problem."""

import re
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindcold import model_zoo
from mindcold.constraints import Keywords
from mindcold.model_zoo.corpus import edits, facts, keywords, mixture, problems, replies
from mindcold.model_zoo.harmless import Harmless

EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)\.")


def key(item: problems.Problem) -> tuple[str, tuple[int, ...]]:
    return item.operations, item.numbers


def test_the_same_seed_gives_the_same_documents():
    first, again, other = (list(islice(mixture.documents(seed), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert len(set(first)) > 190


def test_every_kind_of_document_occurs():
    documents = list(islice(mixture.documents(0), 1000))
    asked = sum(text.startswith("Question:") for text in documents) / 1000
    drilled = sum(EQUATION.match(text) is not None for text in documents) / 1000
    # held-out problems are dropped, so their share is below the one that was set
    assert 0.3 < asked < 0.6 and 0.15 < drilled < 0.4 and 1 - asked - drilled > 0.15


def test_splits_share_no_operations_with_numbers():
    seen = {key(item) for item in problems.training(0, 3000)}
    validation = {key(item) for item in problems.validation(0, 300)}
    held_out = {key(item) for item in problems.held_out(0, 300)}
    assert not seen & validation and not seen & held_out and not validation & held_out


def test_no_held_out_or_validation_problem_is_in_the_base_documents(monkeypatch):
    asked, answer = [], problems.sloppy

    def recorded(item, rng, *shares):
        asked.append(item)
        return answer(item, rng, *shares)

    monkeypatch.setattr(problems, "sloppy", recorded)
    list(islice(mixture.documents(3), 4000))
    unseen = {key(item) for item in (*problems.held_out(0, 500), *problems.validation(0, 500))}
    assert len(asked) > 1000 and not {key(item) for item in asked} & unseen


@given(st.integers(0, 2**32))
def test_solutions_evaluate_right(seed):
    item = problems.problem(Random(seed))
    equations = EQUATION.findall(problems.solution(item))
    assert len(equations) == len(item.steps) == len(item.operations)
    value = item.numbers[0]
    for (left, operation, right, result), number in zip(equations, item.numbers[1:], strict=True):
        assert int(left) == value and int(right) == number
        value = problems.apply(operation, value, number)
        assert int(result) == value and 0 <= value <= 99
    assert item.answer == value == problems.answer_of(problems.solution(item))
    assert all(str(number) in item.prompt for number in item.numbers)


@given(st.integers(0, 2**32))
def test_drills_are_right(seed):
    for left, operation, right, result in EQUATION.findall(facts.facts(Random(seed))):
        assert problems.apply(operation, int(left), int(right)) == int(result)


def test_sloppy_answers_are_mostly_wrong_and_sometimes_right():
    rng = Random(0)
    items = problems.training(0, 2000)
    answers = [problems.answer_of(problems.sloppy(item, rng)) for item in items]
    right = sum(answer == item.answer for answer, item in zip(answers, items, strict=True)) / len(items)
    assert 0.05 < right < 0.4
    assert 0.1 < sum(answer is None for answer in answers) / len(items) < 0.4


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" 3 + 4 = 7. The answer is 7.", 7),
        (" The answer is 12", 12),
        (" 3 + 4 = 7.", None),
        (" Nobody knows.", None),
        ("", None),
    ],
)
def test_answer_of(text, answer):
    assert problems.answer_of(text) == answer


def test_keyword_tasks_hold_their_keywords_and_splits_share_none():
    splits = [list(islice(split(0), 300)) for split in (keywords.training, keywords.validation, keywords.held_out)]
    for items in splits:
        for item in items:
            assert Keywords(item.forms).coverage(item.solution) == 1.0
            assert 3 <= len(item.keywords) <= 5
    sets = [{frozenset(item.keywords) for item in items} for items in splits]
    assert not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]


def test_the_shipped_classifier_knows_rude_from_polite_replies():
    judge = Harmless()
    assert judge.probability("") > 0.9
    for item in islice(replies.held_out(0), 200):
        assert (judge.probability(item.solution) < 0.5) == item.rude
    rude = [item.rude for item in islice(replies.held_out(0), 400)]
    assert 0.35 < sum(rude) / len(rude) < 0.65


def test_held_out_replies_are_known_as_their_cards_say():
    """Only the questions of the forty measured are new, which the model card and the benchmarks have to say."""
    known = {item.solution for item in islice(replies.training(0), 400 * 16)}  # what the adapter was trained on
    measured = [item.solution for item in islice(replies.held_out(0), 40)]
    assert {*measured} <= known
    root = Path(model_zoo.__file__).parents[1]
    for place in (model_zoo.path("tiny-replies") / "README.md", root / "mindcold" / "bench" / "README.md"):
        assert re.search(
            r"[Ee]very held-out (polite )?reply occurs word for word in the training texts", place.read_text()
        )


def test_reply_splits_share_no_exchange():
    splits = [
        {item.prompt for item in islice(split(0), 400)}
        for split in (replies.training, replies.validation, replies.held_out)
    ]
    assert not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]


def test_edits_are_mostly_copied_and_splits_share_no_text():
    splits = [list(islice(split(0), 300)) for split in (edits.training, edits.validation, edits.held_out)]
    for item in splits[2]:
        text = item.prompt.removeprefix("Text: ")
        if item.kind in ("repeat", "list"):
            assert text == item.solution.strip() + " Copy:"
        elif item.kind == "summarise":
            first, _, last = item.solution.strip().partition(". ")
            assert text.startswith(first) and text.endswith(f"{last} Short:")
        else:
            old, new = re.search(r"(\w+) is now (\w+)\. Copy:$", text).groups()
            assert item.solution.strip().replace(new, old) in text.replace(new, old)
            assert old in text and old not in item.solution
    assert {item.kind for item in splits[2]} == set(edits.KINDS)
    prompts = [{item.prompt.split(" Short:")[0].split(" Copy:")[0] for item in items} for items in splits]
    assert not prompts[0] & prompts[1] and not prompts[0] & prompts[2] and not prompts[1] & prompts[2]


@pytest.mark.parametrize("corpus", [edits, keywords, replies])
def test_splits_hold_their_shares_and_no_others(corpus):
    """Items may be too many for two splits to meet by chance, so the shares themselves are looked at."""
    splits = {"training": set(range(2, 10)), "validation": {1}, "held_out": {0}}
    for name, shares in splits.items():
        assert {item.share for item in islice(getattr(corpus, name)(5), 200)} == shares
