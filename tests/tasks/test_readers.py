"""Readers of the public formats on small files in them, and one line for what is wrong."""

import json

import pytest

from mindcold.tasks import TASKS, TaskError, find_task, read_items
from mindcold.tasks.task import split_of


def write(path, content):
    path.write_text(
        content if isinstance(content, str) else "\n".join(map(json.dumps, content)) + "\n", encoding="utf-8"
    )
    return path


def test_commongen_text_groups_references(tmp_path):
    path = write(
        tmp_path / "train.txt", " ski mountain = A man skis.\n\nboy run = Boys ran = fast.\n ski mountain = Down.\n"
    )
    first, second = TASKS["commongen"].read(path)
    assert first.answers == ("A man skis.", "Down.") and first.group == "2 words" and first.key == "mountain ski"
    assert first.prompt.endswith("these words: ski, mountain.") and second.answers == ("Boys ran = fast.",)


@pytest.mark.parametrize(
    ("record", "words", "answers"),
    [
        ({"concept_set": "ski_V#mountain_N", "scene": ["He skis."]}, ["ski", "mountain"], ("He skis.",)),
        ({"concept_set": "ski#mountain"}, ["ski", "mountain"], ()),
        ({"concepts": ["ski", "mountain"], "target": "He skis."}, ["ski", "mountain"], ("He skis.",)),
        ([["stand", "stood"], ["field", "fields"]], ["stand|stood", "field|fields"], ()),
    ],
)
def test_commongen_json(tmp_path, record, words, answers):
    (item,) = TASKS["commongen"].read(write(tmp_path / "dev.jsonl", [record]))
    assert item.constraint.words == words and item.answers == answers
    assert "|" not in item.prompt and item.group == "2 words"


def test_commongen_counts_inflections(tmp_path):
    task = TASKS["commongen"]
    (item,) = task.read(write(tmp_path / "a.txt", "dog run field = x\n"))
    assert task.score(item, "Two dogs running in fields") == {"hard coverage": 1.0, "soft coverage": 1.0}
    assert task.score(item, "A dog ran") == {"hard coverage": 0.0, "soft coverage": pytest.approx(1 / 3)}
    (forms,) = task.read(write(tmp_path / "a.jsonl", [[["run", "ran"], ["dog"]]]))
    assert task.score(forms, "A dog ran")["hard coverage"] == 1.0


def test_gsm8k(tmp_path):
    answer = "He has 3*4=<<3*4=12>>12 and 1/2=<<1/2=.5>>.5.\n#### 1,212"
    (item,) = TASKS["gsm8k"].read(write(tmp_path / "a.jsonl", [{"question": "How many?", "answer": answer}]))
    assert item.answers == ("He has 3*4=12 and 1/2=.5.\n#### 1,212",) and item.prompt.startswith("How many?\n")
    score = TASKS["gsm8k"].score
    for text, value in (("#### 1212", 1), ("so it is $1,212.", 1), ("#### 1212.0\n#### 3", 1), ("12 #### 3 1212", 0),
                        ("1212 or 12", 0), ("none", 0), ("-1212", 0), ("", 0)):  # fmt: skip
        assert score(item, text) == {"accuracy": value}, text


def test_gsm8k_arithmetic(tmp_path):
    answers = [
        "He has 3*4=<<3*4=12>>12 and 1/2=<<1/2=.5>>.5.\nSo <<-5+26.0+100=121.00>>121.\n#### 1",
        "Again <<3*4=12>>12, <<4*3=12>>12, <<5=5>>5, <<(2+3)*4=20>>20, <<2-6=-4>>-4, <<6-2.=4.>>4.\n#### 1",
        "No marks. #### 1",
    ]
    path = write(tmp_path / "a.jsonl", [{"question": "How many?", "answer": answer} for answer in answers])
    items = TASKS["gsm8k-arithmetic"].read(path)
    assert [(item.prompt, item.answers[0], item.group) for item in items] == [
        ("Compute 3*4", "12", "product"),
        ("Compute 1/2", "0.5", "quotient"),
        ("Compute -5+26.0+100", "121", "sum"),
        ("Compute 4*3", "12", "product"),
        ("Compute (2+3)*4", "20", "mixed"),
        ("Compute 2-6", "-4", "difference"),
        ("Compute 6-2.", "4", "difference"),
    ]
    score = TASKS["gsm8k-arithmetic"].score
    for text, value in (("12", 1), ("3*4 is 12.0", 1), ("12.5", 0), ("-12", 0), ("", 0)):
        assert score(items[0], text) == {"accuracy": value}, text


def test_an_expression_in_another_order_is_in_the_same_split(tmp_path):
    """Else 6*2 would be trained on and 2*6 validated with; of differences the order matters."""
    marks = [f"<<{i}{sign}{j}=1>><<{j}{sign}{i}=1>>" for sign in "*+-" for i in range(10, 30) for j in (3, 4)]
    items = TASKS["gsm8k-arithmetic"].read(write(tmp_path / "a.jsonl", [{"answer": mark} for mark in marks]))
    pairs = [(a, b, split_of(a) == split_of(b)) for a, b in zip(items[::2], items[1::2], strict=True)]
    assert all(same for a, _, same in pairs if a.group != "difference")
    assert not all(same for a, _, same in pairs if a.group == "difference")
    assert {split_of(item) for item in items if item.group == "product"} == {"train", "validation"}


def test_banking77(tmp_path):
    path = write(tmp_path / "a.csv", 'text,category\n"Is my card, ""the new one"",\nhere?",card_arrival\n')
    (item,) = TASKS["banking77"].read(path)
    assert item.answers == ("card arrival",) and '"the new one",\nhere?' in item.prompt
    score = TASKS["banking77"].score
    for text, value in ((" Card arrival.", 1), ("card_arrival\nmore", 1), ("\ncard-arrival", 1), ("card arrivals", 0),
                        ("the card arrival", 0), ("", 0)):  # fmt: skip
        assert score(item, text) == {"accuracy": value}, text


def test_spec_bench_and_humaneval(tmp_path):
    lines = [{"question_id": 1, "category": "writing", "turns": ["First.", "Second."]}]
    lines += [{"category": "rag", "turns": ["A question."]}]
    items = TASKS["spec-bench"].read(write(tmp_path / "a.jsonl", lines))
    assert [(item.prompt, item.group) for item in items] == [("First.", "mt_bench"), ("A question.", "rag")]
    head = {"task_id": "HumanEval/0", "prompt": "def f(x):\n", "canonical_solution": "    exit(1)\n", "test": "raise"}
    (item,) = TASKS["humaneval"].read(write(tmp_path / "b.jsonl", [head]))
    assert item.prompt == "def f(x):\n" and item.answers == ()
    assert TASKS["spec-bench"].score(items[0], "x") == TASKS["humaneval"].score(item, "x") == {}


def test_ones_own_file(tmp_path):
    lines = [
        {"prompt": "a", "answer": "Yes"},
        {"prompt": "b", "answer": ["Paris", "Lutetia"], "scorer": "contains", "group": "cities"},
        {"prompt": "c", "answer": "12", "scorer": "number"},
        {"prompt": "d", "answer": ["dog", "run"], "scorer": "keywords"},
    ]
    task = TASKS["jsonl"]
    items = task.read(write(tmp_path / "a.jsonl", lines))
    assert [item.group for item in items] == ["exact", "cities", "number", "keywords"]
    assert items[3].constraint.words == ["dog", "run"] and items[0].constraint is None
    right, wrong = ("yes!", "It was Lutetia once.", "3 + 9 = 12", "dogs running"), ("no", "Parisian", "13", "dogs")
    for texts, value in ((right, 1.0), (wrong, 0.0)):
        assert [task.score(item, text) for item, text in zip(items, texts, strict=True)] == [{"accuracy": value}] * 4


@pytest.mark.parametrize(
    ("task", "name", "content", "message"),
    [
        ("commongen", "a.txt", "a b = c\n\nno equals\n", "a.txt: line 3: concepts, = and a sentence"),
        ("commongen", "a.txt", " = c\n", "a.txt: line 1: concepts, ="),
        ("commongen", "a.txt", "... = c\n", "a.txt: line 1: concepts: constraint Keywords: '...' holds no word"),
        ("commongen", "a.json", "[[]]\n", "a.json: line 1: a list with a list of inflections"),
        ("commongen", "a.jsonl", '{"scene": []}\n', "a.jsonl: line 1: concepts: a string or a list"),
        ("commongen", "a.jsonl", '{"concept_set": 3}\n', "a.jsonl: line 1: concept_set: a non-empty string"),
        (
            "gsm8k",
            "a.jsonl",
            '{"question": "x", "answer": "3"}\n',
            "a.jsonl: line 1: answer: a text that ends in '#### n",
        ),
        ("gsm8k", "a.jsonl", '{"answer": "#### 3"}\n', "a.jsonl: line 1: question: a non-empty string"),
        ("gsm8k", "a.jsonl", "\n{nonsense\n", "a.jsonl: line 2: not valid JSON"),
        ("gsm8k", "a.jsonl", "[1]\n", "a.jsonl: line 1: answer: a non-empty string"),
        *(
            ("gsm8k-arithmetic", "a.jsonl", json.dumps({"answer": mark}), "a.jsonl: line 1: answer: an annotation like")
            for mark in ("<<48/2>>24", "<<48/x=3>>", "<<48/2=>>", "<<48/2=24", "<<=24>>", "<<()=24>>", "<<1+1=2.3.4>>")
        ),
        ("gsm8k-arithmetic", "a.jsonl", '{"question": "x"}\n', "a.jsonl: line 1: answer: a non-empty string"),
        ("gsm8k-arithmetic", "a.jsonl", '{"answer": "3 #### 3"}\n', "a.jsonl: no items"),
        ("banking77", "a.csv", "text,label\na,b\n", "a.csv: line 1: category: no such column; text, category"),
        ("banking77", "a.csv", "text,category\na,b\nc\n", "a.csv: line 3: category: a non-empty string"),
        ("spec-bench", "a.jsonl", '{"category": "qa", "turns": []}\n', "a.jsonl: line 1: turns: a string or a list"),
        ("spec-bench", "a.jsonl", '{"category": "qa", "turns": [3]}\n', "a.jsonl: line 1: turns: a string or a list"),
        ("humaneval", "a.jsonl", '{"task_id": "x"}\n', "a.jsonl: line 1: prompt: a non-empty string"),
        (
            "jsonl",
            "a.jsonl",
            '{"prompt": "a", "answer": "b", "scorer": "x"}\n',
            "line 1: scorer: 'x' is not one of exact",
        ),
        (
            "jsonl",
            "a.jsonl",
            '{"prompt": "a", "answer": "", "scorer": "number"}\n',
            "line 1: answer: a string or a list",
        ),
        (
            "jsonl",
            "a.jsonl",
            '{"prompt": "a", "answer": "..", "scorer": "keywords"}\n',
            "line 1: answer: constraint Keyw",
        ),
        ("jsonl", "a.jsonl", "", "a.jsonl: no items"),
        ("banking77", "a.csv", "", "a.csv: line 1: category: no such column"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, task, name, content, message):
    write(tmp_path / name, content)
    with pytest.raises(TaskError) as found:
        read_items(find_task(task), tmp_path / name)
    assert message in str(found.value) and str(tmp_path) in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize("task", list(TASKS))
def test_files_that_cannot_be_read(tmp_path, task):
    for path, content in ((tmp_path / "none.jsonl", None), (tmp_path / "bad.jsonl", b"\xff\xfe\x00")):
        if content:
            path.write_bytes(content)
        with pytest.raises(TaskError, match=rf"^{path}: "):
            find_task(task).read(path)


def test_choice_of_items(tmp_path):
    lines = "".join(f"word{i} thing{i}{' more' * (i % 2)} = Text {i}.\n" for i in range(300))
    path, task = write(tmp_path / "a.txt", lines), TASKS["commongen"]
    everything = task.read(path)
    parts = {split: read_items(task, path, split=split) for split in ("train", "validation")}
    assert sorted(item.key for part in parts.values() for item in part) == sorted(item.key for item in everything)
    assert 15 < len(parts["validation"]) < 50
    assert all(split_of(item) == split for split, part in parts.items() for item in part)
    first = read_items(task, path, limit=20, seed=1)
    assert [i.key for i in first] == [i.key for i in read_items(task, path, limit=30, seed=1)][:20]
    assert [i.key for i in first] != [i.key for i in read_items(task, path, limit=20, seed=2)]
    assert {item.group for item in read_items(task, path, groups=["3 words"])} == {"3 words"}
    for keywords, message in (
        ({"split": "test"}, "split: 'test'"),
        ({"groups": ["9 words"]}, "group '9 words' is not"),
    ):
        with pytest.raises(TaskError, match=message):
            read_items(task, path, **keywords)
    with pytest.raises(TaskError, match="task: 'x' is not one of commongen"):
        find_task("x")


def test_the_words_of_a_set_in_another_order_are_in_the_same_split(tmp_path):
    """Else a set would be trained on and validated with."""
    items = TASKS["commongen"].read(write(tmp_path / "a.txt", "".join(f"a{i} b = x\nb a{i} = y\n" for i in range(60))))
    assert all(split_of(a) == split_of(b) for a, b in zip(items[::2], items[1::2], strict=True))
    assert {split_of(item) for item in items} == {"train", "validation"}
