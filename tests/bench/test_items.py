"""What is decoded: splits, judges and files."""

import pytest

from mindcold.bench.items import arithmetic, read, words
from mindcold.errors import RequestError


def test_right_answers_are_told_from_wrong_ones():
    items = arithmetic("held_out", 20)
    assert all(item.is_right(item.completion) for item in items)
    assert not any(item.is_right(" The answer is 100.") or item.is_right(" Nobody knows.") for item in items)
    judged = [a.is_right(b.completion) for a in items for b in items if a is not b]
    assert sum(judged) < len(judged) / 4  # each judges by its own answer


@pytest.mark.parametrize("source", [arithmetic, words])
def test_splits_share_no_prompt(source):
    splits = [{item.prompt for item in source(split, 200)} for split in ("training", "validation", "held_out")]
    assert not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]


def test_known_sentences_hold_their_words():
    assert all(item.constraint.coverage(item.completion) == 1.0 for item in words("held_out", 50))


def test_files_give_prompts_with_keywords_and_completions(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"prompt": "a", "keywords": ["soup"]}\n{"prompt": "b", "completion": " c"}\n', encoding="utf-8")
    first, second = read(file)
    assert first.constraint.words == ["soup"] and second.constraint is None and second.completion == " c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ('{"prompt": "a"}\nnot json\n', "line 2"),
        ('{"text": "a"}\n', "line 1"),
        ('{"prompt": 3}\n', "line 1"),
        ("[]\n", "line 1"),
        ('{"prompt": "a", "completion": 3}\n', "line 1"),
        ('{"prompt": "a", "keywords": 3}\n', "line 1"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, text, message):
    file = tmp_path / "data.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RequestError, match=rf"data\.jsonl: {message}"):
        read(file)
