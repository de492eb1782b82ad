"""Tokenizers out of GGUF metadata give the ids of those that went in."""

import json

import pytest
from sentencepiece import SentencePieceProcessor
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from mindcold.convert import convert
from mindcold.model_zoo import path as zoo_path
from mindcold.tokenizer import Tokenizer as OwnTokenizer
from tests.convert.gguf_files import write_gguf

TEXTS = (
    "The farmer walked 1234567 miles, didn't he? He'll SAY so: it's 3.50 EUR!",
    "  leading\n\n  and   trailing \t\r\n spaces   ",
    "naïve café e\u0301tude ÅÄÖ 東京タワー 😀👍🏽 ½ ٣٤٥ Ⅷ",
    "def f(x):\n\treturn x**2  # DON'T\n\n\nprint(f(10_000))",
    "<|im_start|>user\nhi<|im_end|> <tool>x</tool>",
    "",
)

# as the models' own tokenizer.json files have them
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
ORACLES = {
    "smollm": [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "gpt-2": [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "llama-bpe": [pre_tokenizers.Split(Regex(HEAD + r"\p{N}{1,3}" + TAIL), "isolated"), BYTES],
    "qwen2": [pre_tokenizers.Split(Regex(HEAD + r"\p{N}" + TAIL), "isolated"), BYTES],
}


def trained(pre):
    """A byte-level tokenizer with this pre-tokenizer, special and added tokens, and merges across all of its cuts.

    One word that is a token cannot be merged: only `ignore_merges`, which Llama 3 sets, finds it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = BYTES
    special = ["<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = ["the farmer", "walked 12", " a  1", "1234", "567", "\n\n  ", "e'll"] * 50
    tokenizer.train_from_iterator([*TEXTS, *words], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    vocab = dict(model["vocab"]) | {"Ġtrailing": tokenizer.get_vocab_size()}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=pre == "llama-bpe"))
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(ORACLES[pre])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(["<tool>", "</tool>"])
    return tokenizer


def keys_of(tokenizer, pre):
    """GGUF metadata of a tokenizer."""
    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(i) for i in range(size)]
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    kinds = [
        3 if token.startswith("<|") and i < 2 else 4 if token in ("<tool>", "</tool>") else 1
        for i, token in enumerate(tokens)
    ]
    fill = 600 - size
    return {
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens + [f"[PAD{size + i}]" for i in range(fill)],
        "tokenizer.ggml.token_type": kinds + [5] * fill,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.chat_template": "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
    }


@pytest.mark.parametrize("pre", list(ORACLES))
def test_byte_level_tokenizers(tmp_path, pre):
    expected = trained(pre)
    write_gguf(tmp_path / "model.gguf", {"vocab_size": 600}, keys_of(expected, pre))
    found = OwnTokenizer(convert(tmp_path / "model.gguf", tmp_path / "out"))
    front = [0] if pre == "llama-bpe" else []
    for text in TEXTS:
        ids = expected.encode(text).ids
        assert found.encode(text, add_special_tokens=False) == ids, text
        assert found.encode(text) == front + ids
        assert found.decode(ids) == expected.decode(ids)
    assert found.decode([*expected.encode("the").ids, 599]) == "the"  # what only fills the vocabulary has no text
    assert found.render_chat([{"role": "user", "content": "hi"}]) == "<|im_start|>hi<|im_end|>"
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert (settings["bos_token"], settings["eos_token"]) == ("<|im_start|>", "<|im_end|>")
    assert settings["model_max_length"] == 256


def test_the_pre_tokenizers_differ():
    """The texts tell them apart: no two give the same ids."""
    ids = {pre: [trained(pre).encode(text).ids for text in TEXTS] for pre in ORACLES}
    assert all(ids[a] != ids[b] for a in ids for b in ids if a != b)


def test_bos_and_eos_as_the_file_says(tmp_path):
    keys = keys_of(trained("smollm"), "smollm")
    keys |= {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}
    write_gguf(tmp_path / "model.gguf", {"vocab_size": 600}, keys)
    found = OwnTokenizer(convert(tmp_path / "model.gguf", tmp_path / "out"))
    assert found.encode("hi") == [0, *found.encode("hi", add_special_tokens=False), 1]


def test_the_default_cuts_as_llama_cpp_does(tmp_path):
    keys = keys_of(trained("gpt-2"), "default") | {"tokenizer.ggml.pre": None}  # "default" where the key is missing
    write_gguf(tmp_path / "model.gguf", {"vocab_size": 600}, keys)
    convert(tmp_path / "model.gguf", tmp_path / "out")
    cut = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).pre_tokenizer
    assert [piece for piece, _ in cut.pre_tokenize_str("it cost 12345$+x")] == [
        "it",
        "Ġcost",
        "Ġ",
        "123",
        "45",
        "$+",
        "x",
    ]


@pytest.mark.parametrize("front", [True, False])
def test_sentencepiece_tokenizers(tmp_path, front):
    """The shipped tokenizer, piece by piece through GGUF: the same ids and the same text."""
    whole = SentencePieceProcessor(model_file=str(zoo_path("tiny-base") / "tokenizer.model"))
    size = whole.vocab_size()
    kinds = [
        2 if whole.is_unknown(i) else 3 if whole.is_control(i) else 6 if whole.is_byte(i) else 1 for i in range(size)
    ]
    keys = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [whole.id_to_piece(i) for i in range(size)],
        "tokenizer.ggml.scores": [float(whole.get_score(i)) for i in range(size)],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": whole.bos_id(),
        "tokenizer.ggml.eos_token_id": whole.eos_id(),
        "tokenizer.ggml.unknown_token_id": whole.unk_id(),
    }
    if not front:
        keys["tokenizer.ggml.add_bos_token"] = False
    write_gguf(tmp_path / "model.gguf", {"vocab_size": size}, keys)
    found, shipped = (
        OwnTokenizer(convert(tmp_path / "model.gguf", tmp_path / "out")),
        OwnTokenizer(zoo_path("tiny-base")),
    )
    assert found.encode("a") == ([whole.bos_id()] if front else []) + shipped.encode("a", add_special_tokens=False)
    for text in TEXTS:
        text = " ".join(text.split())  # the shipped one drops repeated spaces, GGUF does not say so
        ids = shipped.encode(text, add_special_tokens=False)
        assert found.encode(text, add_special_tokens=False) == ids, text
        assert found.decode(ids) == shipped.decode(ids)
