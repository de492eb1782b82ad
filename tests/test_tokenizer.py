"""Tokenizers of both kinds, the incremental decoder, and the sandboxed chat template."""

import io
import json
import os
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, processors
from tokenizers.decoders import DecodeStream

from mindcold.errors import TokenizerError
from mindcold.tokenizer import Detokenizer, Tokenizer
from tests.folders import write_json

TEXTS = ["The quick brown fox.", "Größe: 12 km², naïve café", "日本語 and 🙂 emoji", "a  b", ""]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A folder with a sentencepiece tokenizer that falls back to bytes."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("pieces")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the quick brown fox jumps over the lazy dog"] * 50),
        model_writer=model,
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    settings = {
        "bos_token": {"content": "<s>"},
        "eos_token": "</s>",
        "added_tokens_decoder": {
            "300": {"content": "<|user|>", "special": True},
            "301": {"content": "[tab]", "special": False},
        },
        "chat_template": "{{ bos_token }}{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}",
    }
    write_json(folder / "tokenizer_config.json", settings)
    return Tokenizer(folder)


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    """A folder with a byte-level tokenizer.json that puts <s> in front."""
    folder = tmp_path_factory.mktemp("fast")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1} | {piece: i + 2 for i, piece in enumerate(alphabet)}
    tokenizer = FastTokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


@pytest.mark.parametrize("kind", ["pieces", "fast"])
@pytest.mark.parametrize("text", TEXTS)
def test_round_trip_and_streaming(kind, text, request):
    tokenizer = request.getfixturevalue(kind)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode(text, add_special_tokens=False) == ids[1:]
    shown = pieces_of(tokenizer, ids)
    assert "".join(shown) == text
    assert "\ufffd" not in "".join(shown)


@pytest.fixture(scope="module")
def fallback(tmp_path_factory):
    """A folder with a tokenizer.json of Llama 2's kind: words with a mark in front, bytes for the rest."""
    folder = tmp_path_factory.mktemp("fallback")
    words = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "▁the", "the", "▁fox", ".", "é", "日"]
    tokenizer = FastTokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.add_tokens(["[tab]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


def pieces_of(tokenizer, ids):
    writer = Detokenizer(tokenizer)
    return [writer.push(token, last=i == len(ids) - 1) for i, token in enumerate(ids)]


def ids_of(tokenizer):
    """Lists of ids rich in what is special: control, added and unknown tokens, spaces, bytes that are characters."""
    json_kind = (tokenizer.folder / "tokenizer.json").exists()
    inner = tokenizer._codec._tokenizer if json_kind else tokenizer._codec._pieces
    name = inner.id_to_token if json_kind else inner.id_to_piece
    size = inner.get_vocab_size() if json_kind else inner.vocab_size()
    names = {name(i): i for i in range(size)}
    alphabet = pre_tokenizers.ByteLevel.alphabet()

    def as_bytes(text):
        if "<0x41>" in names:
            return [names[f"<0x{byte:02X}>"] for byte in text.encode()]
        return tokenizer.encode(text, add_special_tokens=False) if set(alphabet) <= set(names) else []

    whole = st.sampled_from([as_bytes(text) for text in ("€", "🙂", "é", "A", " ", "日本")])
    cut = st.builds(lambda ids, count: ids[:count], whole, st.integers(0, 3))
    spaces = [i for piece, i in names.items() if piece.startswith(("▁", "Ġ"))]
    rest = st.lists(st.integers(0, size + 5), min_size=1, max_size=3)
    special = st.lists(st.sampled_from([*range(3), size, size + 1, *spaces[:4]]), min_size=1, max_size=3)
    return st.lists(st.one_of(whole, cut, rest, special), max_size=8).map(lambda parts: list(chain(*parts)))


@pytest.mark.parametrize("kind", ["pieces", "fast", "fallback"])
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pieces_make_the_whole_text(kind, request, data):
    """Whatever the ids: joined, the pieces are what the whole list decodes to."""
    tokenizer = request.getfixturevalue(kind)
    ids = data.draw(ids_of(tokenizer))
    shown = pieces_of(tokenizer, ids)
    assert "".join(shown) == tokenizer.decode(ids)
    # the library decodes the same; bytes that are no character it may count otherwise
    library = tokenizer._codec.decode(ids)
    if kind != "fallback" or "\ufffd" not in library:
        assert "".join(shown) == library
    assert all("\ufffd" not in piece for piece in shown) or "\ufffd" in library


@pytest.mark.parametrize("kind", ["fast", "fallback"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pieces_are_those_of_the_library(kind, request, data):
    """Where tokenizers' own DecodeStream gives text, it is the same text at the same token."""
    tokenizer = request.getfixturevalue(kind)
    ids = data.draw(ids_of(tokenizer))
    if "\ufffd" in tokenizer.decode(ids):
        return
    inner, stream = tokenizer._codec._tokenizer, DecodeStream(skip_special_tokens=True)
    assert pieces_of(tokenizer, ids) == [stream.step(inner, token) or "" for token in ids]


@pytest.mark.parametrize("kind", ["pieces", "fallback"])
def test_a_space_after_a_control_token_stays(kind, request):
    tokenizer = request.getfixturevalue(kind)
    the = tokenizer.encode("the", add_special_tokens=False)
    the = the if kind == "pieces" else [tokenizer._codec._tokenizer.token_to_id("▁the")]
    assert tokenizer.decode([*the, 2, *the]) == "the the"
    assert "".join(pieces_of(tokenizer, [1, *the, 2, 2, *the, 2])) == "the the"


def test_a_character_cut_by_the_end_does_not_spoil_those_before_it(fallback):
    first, second = ([fallback._codec._tokenizer.token_to_id(f"<0x{b:02X}>") for b in text.encode()] for text in "€🙂")
    assert fallback.decode([*first, *second]) == "€🙂"
    assert fallback.decode([*first, *second[:2]]) == "€\ufffd\ufffd"
    assert pieces_of(fallback, [*first, *second[:2]]) == ["", "", "€", "", "\ufffd\ufffd"]


def test_without_a_tokenizer_there_is_no_text():
    assert Detokenizer(None).push(3, last=True) == ""


def test_an_incomplete_character_is_held_back_and_shown_at_the_end(fast):
    ids = fast.encode("é", add_special_tokens=False)
    assert len(ids) == 2
    writer = Detokenizer(fast)
    assert writer.push(ids[0]) == "" and writer.push(ids[1]) == "é"
    assert Detokenizer(fast).push(ids[0], last=True) == "\ufffd"


def test_special_tokens_in_a_text_become_their_ids(pieces):
    ids = pieces.encode("<|user|>the fox[tab]</s>", add_special_tokens=False)
    assert ids[0] == 300 and 301 in ids and ids[-1] == 2
    assert pieces.decode(ids) == "the fox[tab]"


def test_chat_template(pieces, fast):
    messages = [{"role": "user", "content": "the fox"}]
    assert pieces.render_chat(messages) == "<s><|user|>the fox"
    ids = pieces.chat(messages)
    assert ids[:2] == [1, 300] and ids.count(1) == 1
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json: chat_template: missing"):
        fast.chat(messages)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{% for %}", "failed"),
        ("{{ messages.append(1) }}", "failed"),
        ("{% for i in range(10**9) %}{% endfor %}", "failed"),
    ],
)
def test_templates_that_fail_or_reach_outside_are_one_line(fast, tmp_path, template, message):
    (tmp_path / "tokenizer.json").write_bytes((fast.folder / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.jinja").write_text(template)
    with pytest.raises(TokenizerError, match=r"chat_template\.jinja: the chat template failed") as caught:
        Tokenizer(tmp_path).chat([{"role": "user", "content": "x"}])
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, json.dumps({"model": 1}).encode()])
def test_damaged_files_name_the_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=name.replace(".", r"\.")):
        Tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_says_what_to_do(tmp_path):
    assert not Tokenizer.exists(tmp_path)
    with pytest.raises(TokenizerError, match="give token ids instead of text"):
        Tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"added_tokens_decoder": [1]}, "added_tokens_decoder: an object is expected"),
        ({"added_tokens_decoder": {"300": 5}}, "added_tokens_decoder: 300: an object is expected"),
        ({"added_tokens_decoder": {"300": {"content": 5}}}, "300: content: a string is expected"),
        ({"added_tokens_decoder": {"300": {"content": ""}}}, "300: content: a text of at least one character"),
        ({"added_tokens_decoder": {"300": {"content": "x", "special": "no"}}}, "special: true or false"),
        ({"added_tokens_decoder": {"²": {"content": "x"}}}, "²: a token id is expected"),
        ({"added_tokens_decoder": {"9" * 5000: {"content": "x"}}}, "a token id is expected"),
        ({"add_bos_token": "no"}, "add_bos_token: true or false is expected"),
    ],
)
def test_settings_of_a_wrong_type_name_the_field(pieces, tmp_path, settings, message):
    (tmp_path / "tokenizer.model").write_bytes((pieces.folder / "tokenizer.model").read_bytes())
    write_json(tmp_path / "tokenizer_config.json", settings)
    with pytest.raises(TokenizerError, match=rf"tokenizer_config\.json: .*{message}") as caught:
        Tokenizer(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("template", [[{"name": ["x"]}], [{"name": "default"}], [{"name": "other"}, 5], {"a": 1}, 5])
def test_a_template_of_a_wrong_type_is_missing(fast, tmp_path, template):
    (tmp_path / "tokenizer.json").write_bytes((fast.folder / "tokenizer.json").read_bytes())
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": template})
    with pytest.raises(TokenizerError, match="chat_template: missing"):
        Tokenizer(tmp_path).chat([{"role": "user", "content": "x"}])
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(TokenizerError, match=r"chat_template\.jinja: not UTF-8"):
        Tokenizer(tmp_path).chat([{"role": "user", "content": "x"}])


def changed(fast, folder, **changes):
    """The tokenizer.json with other parts, loaded."""
    raw = json.loads((fast.folder / "tokenizer.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer.json", raw | changes)
    return Tokenizer(folder)


def test_what_the_library_cannot_read_or_panics_at_is_one_line(fast, tmp_path):
    missing = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": []}
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: cannot encode a text") as caught:
        changed(fast, tmp_path, post_processor=missing | {"special_tokens": {}}).encode("a")
    assert "\n" not in str(caught.value)
    for pattern in ("(", "(?<n>\\g<n>)", "[" * 5000):
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        with pytest.raises(TokenizerError, match=r"tokenizer\.json: not a tokenizer file"):
            changed(fast, tmp_path, pre_tokenizer=split)


def test_settings_of_training_do_not_change_a_text(fast, tmp_path):
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    assert changed(fast, tmp_path, truncation=cut).encode("the fox") == fast.encode("the fox")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja"])
def test_a_file_that_is_none_is_refused_unopened(fast, tmp_path, name):
    if name != "tokenizer.model":  # not looked at beside the other
        (tmp_path / "tokenizer.json").write_bytes((fast.folder / "tokenizer.json").read_bytes())
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(TokenizerError, match=rf"{name}: a named pipe, socket or device, where a file is expected"):
        Tokenizer(tmp_path).chat([{"role": "user", "content": "x"}])


@pytest.mark.parametrize("part", ["pre_tokenizer", "normalizer"])
def test_an_expression_that_panics_or_does_not_end_is_one_line(fast, tmp_path, part, capfd):
    parts = {
        "pre_tokenizer": {"type": "Split", "behavior": "Isolated", "invert": False},
        "normalizer": {"type": "Replace", "content": "x"},
    }
    slow = changed(fast, tmp_path, **{part: parts[part] | {"pattern": {"Regex": "(a+)+$"}}})
    assert slow.decode(slow.encode("bc", add_special_tokens=False)) == "bc"
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: cannot encode a text \(.*retry-limit"):
        slow.encode("a" * 60 + "b")
    assert capfd.readouterr() == ("", "")  # the library says more on its way


def test_a_text_the_library_cannot_take_is_one_line(fast):
    with pytest.raises(TokenizerError, match="cannot encode a text: half of a surrogate pair"):
        fast.encode("\ud800")
