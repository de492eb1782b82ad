"""Files of training data: what is learned of each kind of line, and that a bad line is named."""

import json

import numpy as np
import pytest

from mindcold import model_zoo
from mindcold.errors import TrainingError
from mindcold.tokenizer import Tokenizer
from mindcold.training.reading import TextEncoder, read_rows
from mindcold.training.targets import IGNORED

BOS, EOS = 1, 2
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(model_zoo.path("tiny-base"))


@pytest.fixture(scope="module")
def encoder(tokenizer):
    return TextEncoder(tokenizer, EOS, BOS)


@pytest.fixture
def chat(tmp_path):
    """Encoder of a folder with a chat template, and its tokenizer."""

    def make(template=TEMPLATE):
        folder = tmp_path / "chat"
        folder.mkdir(exist_ok=True)
        for name in ("tokenizer.model", "special_tokens_map.json", "tokenizer_config.json"):
            (folder / name).write_bytes((model_zoo.path("tiny-base") / name).read_bytes())
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        tokenizer = Tokenizer(folder)
        return TextEncoder(tokenizer, EOS, BOS), tokenizer

    return make


def learned(example):
    return [token for token, own in zip(example.tokens, example.learned, strict=True) if own]


def test_labels_cover_the_completion_and_the_end_only(encoder, tokenizer):
    prompt, completion = "Question: 2 + 3? Answer:", " 2 + 3 = 5."
    example = encoder.completion(prompt, completion)
    begin = tokenizer.encode(prompt)
    assert list(example.tokens[: len(begin)]) == begin  # as the prompt is at decoding time
    assert learned(example) == [*tokenizer.encode(prompt + completion)[len(begin) :], EOS]
    row = example.row()
    assert (row.labels[: len(begin) - 1] == IGNORED).all() and row.counted == len(example.tokens) - len(begin)


def test_a_completion_that_joins_the_prompts_last_token_is_tokenised_apart(encoder, tokenizer):
    prompt, completion = "The farm", "er walked."
    begin = tokenizer.encode(prompt)
    assert tokenizer.encode(prompt + completion)[: len(begin)] != begin
    example = encoder.completion(prompt, completion)
    assert list(example.tokens[: len(begin)]) == begin
    assert learned(example) == [*tokenizer.encode(completion, add_special_tokens=False), EOS]


def test_a_prompt_that_writes_the_beginning_out_has_one(encoder, tokenizer):
    example = encoder.completion("<s>The cat", " ran.")
    assert tokenizer.encode("<s>The cat")[:2] == [BOS, BOS]  # what a rendered chat prompt became
    assert list(example.tokens).count(BOS) == 1 and example.tokens[0] == BOS
    assert not any(example.learned[: list(example.tokens).index(EOS) - 3])


def test_the_assistants_turns_are_learned_each_to_its_end(chat):
    encoder, tokenizer = chat()
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The cat?"},
        {"role": "assistant", "content": "It ran."},
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "To the lake."},
        {"role": "user", "content": "Thanks."},
    ]
    example = encoder.conversation(messages)
    assert list(example.tokens).count(BOS) == 1
    assert list(example.tokens[: len(tokenizer.chat(messages[:2]))]) == tokenizer.chat(messages[:2])
    assert tokenizer.decode(learned(example)) == "It ran.To the lake."
    assert learned(example).count(EOS) == 2 and example.tokens[-1] == EOS and example.learned[-1]
    assert "Thanks" not in tokenizer.decode(list(example.tokens))


def test_a_template_without_an_end_gets_one(chat):
    encoder, _ = chat("{% for m in messages %}{{ m.content }} {% endfor %}")
    example = encoder.conversation([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}])
    assert example.tokens[-1] == EOS and example.learned[-1]


def test_a_template_that_rewrites_what_was_is_refused(chat, tmp_path):
    encoder, _ = chat("{{ messages|length }}{% for m in messages %}{{ m.content }}{% endfor %}")
    path = tmp_path / "a.jsonl"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    path.write_text(json.dumps({"messages": messages}), encoding="utf-8")
    with pytest.raises(TrainingError, match="line 1: the chat template renders a conversation otherwise"):
        read_rows(path, encoder, 64)


def test_examples_texts_and_packs_are_read(tmp_path, encoder):
    path = tmp_path / "examples.jsonl"
    lines = [json.dumps({"prompt": f"{i} and", "completion": " two"}) for i in range(6)]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    rows = read_rows(path, encoder, 24)
    assert len(rows) == 6 and all(len(row.tokens) <= 24 for row in rows)
    joined = read_rows(path, encoder, 24, pack=True)
    assert len(joined) < 6 and sum(row.counted for row in joined) == sum(row.counted for row in rows)
    path = tmp_path / "corpus.txt"
    path.write_text("The cat ran to the house.\n" * 20, encoding="utf-8")
    rows = read_rows(path, encoder, 8)
    assert all(len(row.tokens) == 8 for row in rows) and {row.documents.max() for row in rows} == {0, 1}
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"text": "The cat ran to the house."}) * 1, encoding="utf-8")
    assert len(read_rows(path, encoder, 4)) >= 1


def test_what_a_teacher_held_likely_is_read_and_packed(tmp_path, encoder):
    """A place for each token that is learned, the end included; lines without a teacher learn their tokens."""
    example = encoder.completion("The cat", " ran.")
    count = sum(example.learned)
    places = [[[7 + i, -1.0], [9 + i, -2.0]] for i in range(count)]
    path = tmp_path / "a.jsonl"
    lines = [
        {"prompt": "The cat", "completion": " ran.", "top_logprobs": places},
        {"prompt": "One", "completion": " two"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    first, second = read_rows(path, encoder, 24)
    assert first.counted == count and second.taught is None
    where = np.flatnonzero(first.labels != IGNORED)
    assert first.targets.tokens[where].tolist() == [[7 + i, 9 + i] for i in range(count)]
    np.testing.assert_allclose(first.targets.shares[where], [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))]] * count)
    assert not first.targets.shares[: where[0]].any()
    (both,) = read_rows(path, encoder, 48, pack=True)
    assert both.targets.shares.sum() == pytest.approx(both.counted) and both.targets.width == 2
    assert both.targets.tokens[len(first.tokens) :, 0].tolist() == second.targets.tokens[:, 0].tolist()


GOOD = json.dumps({"prompt": "One", "completion": " two"})


def taught(places):
    """The same with what a teacher held likely; it has three tokens to learn."""
    return json.dumps({"prompt": "One", "completion": " two", "top_logprobs": places})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + "\n{oops", "line 2: not valid JSON"),
        (GOOD + "\n\n[1]", "line 3: a JSON object"),
        ('{"text": 3}', "line 1: a JSON object"),
        ('{"prompt": "x"}', "line 1: a JSON object"),
        ('{"text": "a"}\n' + GOOD, "line 2: prompt and completion, but line 1 has text"),
        ("", "no examples"),
        (GOOD + "\n" + json.dumps({"prompt": "word " * 50, "completion": "x"}), "line 2: .*sequence_length is 16"),
        ('{"messages": [{"role": "user"}]}', "line 1: messages: objects"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "line 1: holds nothing to learn"),
        (GOOD.encode() + b"\n\xff", "line 2: not UTF-8"),
        ("[" * 100_000, "line 1: not valid JSON"),
        (taught("likely"), "line 1: top_logprobs: a list of 3 places is expected.*, found 'likely'"),
        (taught([[[1, -0.5]]]), "line 1: top_logprobs: a list of 3 places is expected.*, found a list of 1"),
        *(
            (taught([[[1, -0.5]], place, [[2, 0]]]), "line 1: top_logprobs: place 2: 1 to 20 pairs of a token id, each")
            for place in (
                [],
                7,
                [1, -0.5],
                [[1, -0.5], [1, -2]],
                [[1.5, -0.5]],
                [[-1, -0.5]],
                [[2**31, -0.5]],
                [[1, 0.5]],
                [[1, "-0.5"]],
                [[1, float("nan")]],
                [[1, -0.5, 3]],
                [[i, -3.0] for i in range(21)],
            )
        ),
    ],
)
def test_bad_data_is_one_line_that_names_file_and_line(tmp_path, encoder, content, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TrainingError, match=message) as caught:
        read_rows(path, encoder, 16)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_missing_file(tmp_path, encoder):
    with pytest.raises(TrainingError, match=r"nothing\.txt: No such file"):
        read_rows(tmp_path / "nothing.txt", encoder, 16)
