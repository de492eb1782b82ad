"""Lists of allowed outputs: the trie against plain sets, and models that can write nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mindcold
from mindcold.constraints import ConstraintError, OneOf, Vocabulary, parse_constraint
from mindcold.constraints.trie import Trie
from mindcold.errors import RequestError
from mindcold.model_folder import find_folder
from mindcold.tokenizer import Tokenizer

TOKENIZER = Tokenizer(find_folder("tiny-base"))
VOCABULARY = Vocabulary(TOKENIZER, 2048, (2,))
ITEMS = ["the old house", "the old farmer", "the", "a king", "soup"]


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=5), max_size=20), st.lists(st.integers(0, 5)))
def test_a_trie_is_the_set_of_its_beginnings(sequences, path):
    trie, node = Trie.of(sequences, 6), 0
    for i in range(len(path) + 1):
        begun = [item for item in sequences if item[:i] == path[:i]]
        assert (node is not None) == bool(begun or i == 0)
        if node is None:
            break
        assert trie.following(node).tolist() == sorted({item[i] for item in begun if len(item) > i})
        assert trie.is_final(node) == (path[:i] in sequences)
        node = trie.step(node, path[i]) if i < len(path) else node


def test_a_hundred_thousand_items_are_arrays():
    rng = np.random.default_rng(0)
    items = rng.integers(0, 1000, (100_000, 4)).tolist()
    trie = Trie.of(items, 1000)
    beginnings = {tuple(item[:i]) for item in items for i in range(5)}
    assert len(trie.tokens) == len(beginnings) and trie.nbytes <= 13 * len(beginnings) + 8
    assert int(trie.final.sum()) == len({tuple(item) for item in items})
    for item in items[::9999]:
        node = 0
        for token in item:
            node = trie.step(node, token)
        assert trie.final[node]


def write(state, mask=None):
    """A text that goes its own way through what is allowed."""
    rng, tokens = np.random.default_rng(mask), []
    while True:
        token = int(rng.choice(np.flatnonzero(state.allowed())))
        if token == 2:
            return TOKENIZER.decode(tokens)
        tokens.append(token)
        state.advance(token)


@pytest.mark.parametrize("space", [None, True, False])
def test_nothing_but_the_items_can_be_written(space):
    state, found = OneOf(ITEMS, space).start(VOCABULARY), set()
    for seed in range(60):
        found.add(write(state.fork(), seed).strip())
    assert found == set(ITEMS)
    assert state.value() == 0 and state.unmet() == "the text is not complete"
    state.advance(TOKENIZER.encode("zebra", add_special_tokens=False)[-1])
    assert state.value() == 0 and not state.allowed().any() and state.unmet() == "the text does not match"
    state.rollback(1)
    assert state.allowed().any()


@pytest.mark.parametrize(("space", "forms"), [(None, {"\nking", "\n king"}), (True, {"\n king"}), (False, {"\nking"})])
def test_a_space_in_front_is_as_asked_for(space, forms):
    before, found = TOKENIZER.encode("\n", add_special_tokens=False), set()
    for seed in range(8):
        state, tokens, rng = OneOf(["king"], space).start(VOCABULARY), [], np.random.default_rng(seed)
        while not state.value():
            tokens.append(int(rng.choice(np.flatnonzero(state.allowed()))))
            state.advance(tokens[-1])
        found.add(TOKENIZER.decode([*before, *tokens]))
    assert found == forms


def test_a_model_chooses_an_item_by_any_method():
    llm = mindcold.load("tiny-base", "tiny-steps")
    for options in ({}, {"method": "cold", "draft": "trigram"}, {"method": "sample", "seed": 4}, {"method": "cdlh"}):
        out = llm.generate("The farmer went to", constraint=OneOf(ITEMS), **options)
        assert out.text.strip() in ITEMS and out.finish_reason == "stop" and out.stats.reward == 1.0
    chosen = llm.generate("The farmer went to", constraint={"choice": ["an apple", "the lake"]})
    assert chosen.text.strip() in ("an apple", "the lake")


def test_beams_rank_the_items_by_their_probability():
    """All of them, in the order of what the model says of each."""
    llm = mindcold.load("tiny-base")
    items = [[40, 41], [40, 42, 43], [7], [300, 5, 6, 9], [300, 5]]
    prompt = [1, 50, 60]
    out = llm.generate(prompt, "beam", num_beams=5, length_penalty=0.0, constraint=OneOf(items))
    assert sorted(item.token_ids[:-1] for item in out.ranked) == sorted(items)

    def total(item):
        state, sum_ = OneOf(items).start(Vocabulary(None, 2048, (2,))), 0.0
        logits = llm.logits([*prompt, *item]).astype(np.float64)[len(prompt) - 1 :]
        for token, row in zip([*item, 2], logits, strict=True):
            row = np.where(state.allowed(), row, -np.inf)
            sum_ += row[token] - row.max() - np.log(np.exp(row - row.max()).sum())
            state.advance(token)
        return sum_

    expected = sorted(items, key=total, reverse=True)
    assert [item.token_ids[:-1] for item in out.ranked] == expected
    assert out.ranked[0].score == pytest.approx(total(expected[0]), abs=1e-4)


def test_a_file_of_items(tmp_path):
    path = tmp_path / "items.txt"
    path.write_bytes("the\u2028old\r\na king\n".encode())
    assert OneOf.from_file(path).items == ["the\u2028old", "a king"]
    for content, message in ((b"a\n\nb\n", "line 2: empty"), (b"", "line 1: empty"), (b"\xff\n", "not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(ConstraintError, match=f"^constraint OneOf: .*items.txt: {message}"):
            OneOf.from_file(path)
    with pytest.raises(ConstraintError, match=r"none.txt: No such file"):
        OneOf.from_file(tmp_path / "none.txt")


@pytest.mark.parametrize("items", [[], "abc", [""], [[]], [3], [["a"]], [[1.5]], None, [[True]]])
def test_what_is_no_list_of_items(items):
    with pytest.raises(ConstraintError, match=r"^constraint OneOf: "):
        OneOf(items)


def test_what_a_vocabulary_cannot_write():
    with pytest.raises(ConstraintError, match="not below vocab_size 2048"):
        OneOf([[1, 2048]]).start(VOCABULARY)
    with pytest.raises(ConstraintError, match="an end of text"):
        OneOf(["a"]).start(Vocabulary(TOKENIZER, 2048, ()))
    with pytest.raises(ConstraintError, match="no tokenizer"):
        OneOf(["a"]).start(Vocabulary(None, 2048, (2,)))


def test_plain_data_names_what_is_safe_alone():
    assert type(parse_constraint({"choice": ["a", "b"]})[0]).__name__ == "OneOf"
    assert type(parse_constraint({"sql": "create table a (b int)"})[0]).__name__ == "SqlExecutes"
    with pytest.raises(RequestError, match=r"^constraint: choice: a list of texts is expected"):
        parse_constraint({"choice": "a"})
    for name in ("python", "PythonPasses", "python_passes"):
        with pytest.raises(RequestError, match=r"is not one of keywords, forbidden, regex, json_schema, choice, sql$"):
            parse_constraint({name: ["assert True"]})
