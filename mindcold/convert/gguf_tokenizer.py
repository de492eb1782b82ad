"""The tokenizer in a GGUF file's metadata as HuggingFace files: byte-level BPE, or sentencepiece with scores."""

import json
from pathlib import Path
from typing import Any

from mindcold.convert.gguf_file import GgufFile

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Kinds of tokens in `tokenizer.ggml.token_type`; sentencepiece numbers its pieces the same way."""

_ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"

SPLITS: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}",),
    "qwen2": (rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}",),
}
"""Value of `tokenizer.ggml.pre` to the patterns that cut a text, one after the other, each match a piece of its own.

Source: the tokenizer.json files of these models; "default" is what llama.cpp does."""


def write_tokenizer(file: GgufFile, folder: Path, context: int) -> None:
    """Write tokenizer.json or tokenizer.model, and tokenizer_config.json; ModelError names what is not supported."""
    kind = file.value("tokenizer.ggml.model", str)
    tokens = file.strings("tokenizer.ggml.tokens")
    kinds = file.value("tokenizer.ggml.token_type", list, [NORMAL] * len(tokens))
    if len(kinds) != len(tokens):
        raise file.fail("tokenizer.ggml.token_type", f"{len(kinds)} types for {len(tokens)} tokens")
    roles = _roles(file, len(tokens))
    if kind == "gpt2":
        pre = file.value("tokenizer.ggml.pre", str, "default")
        front = pre == "llama-bpe"
        _write_bpe(file, folder, tokens, kinds, pre, roles, front)
    elif kind == "llama":
        front = True
        _write_sentencepiece(file, folder, tokens, kinds, roles)
    else:
        raise file.fail("tokenizer.ggml.model", f"{kind!r} is not one of gpt2, llama")
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast" if kind == "gpt2" else "LlamaTokenizer",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(file.value("tokenizer.ggml.add_bos_token", bool, front)),
        "add_eos_token": bool(file.value("tokenizer.ggml.add_eos_token", bool, False)),
        "added_tokens_decoder": {
            str(i): {"content": token, "special": kinds[i] == CONTROL, "normalized": False}
            | {"lstrip": False, "rstrip": False, "single_word": False}
            for i, token in enumerate(tokens)
            if kinds[i] == CONTROL or (kinds[i] == USER_DEFINED and kind == "gpt2")
        },
    }
    settings |= {f"{role}_token": tokens[i] for role, i in roles.items()}
    template = file.value("tokenizer.chat_template", str, None)
    if template is not None:
        settings["chat_template"] = template
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def _roles(file: GgufFile, count: int) -> dict[str, int]:
    """Role ("bos", "eos", "unk", "pad") to token id, of those that are given."""
    found = {}
    for role, name in _ROLES.items():
        key = f"tokenizer.ggml.{name}_token_id"
        token = file.integer(key, None)
        if token is not None:
            if not 0 <= token < count:
                raise file.fail(key, f"{token} is not one of {count} tokens")
            found[role] = token
    return found


def _write_bpe(
    file: GgufFile, folder: Path, tokens: list[str], kinds: list[int], pre: str, roles: dict[str, int], front: bool
) -> None:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    if pre not in SPLITS:
        raise file.fail("tokenizer.ggml.pre", f"{pre!r} is not one of {', '.join(SPLITS)}")
    # unused tokens only fill the vocabulary up to a round number
    vocab = {token: i for i, token in enumerate(tokens) if kinds[i] != UNUSED}
    merges = []
    for number, line in enumerate(file.strings("tokenizer.ggml.merges")):
        pair = tuple(line.split(" "))
        if len(pair) != 2 or any(part not in vocab for part in (*pair, "".join(pair))):
            raise file.fail("tokenizer.ggml.merges", f"merge {number}, {line[:60]!r}, is not of two known tokens")
        merges.append(pair)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=pre == "llama-bpe"))
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in SPLITS[pre]]
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, bytes_of])
    tokenizer.decoder = decoders.ByteLevel()
    # they are in the vocabulary already and keep their ids
    for kind, add in ((CONTROL, tokenizer.add_special_tokens), (USER_DEFINED, tokenizer.add_tokens)):
        add([AddedToken(token, normalized=False) for token, k in zip(tokens, kinds, strict=True) if k == kind])
    around = ["$A"]
    if file.value("tokenizer.ggml.add_bos_token", bool, front) and "bos" in roles:
        around.insert(0, tokens[roles["bos"]])
    if file.value("tokenizer.ggml.add_eos_token", bool, False) and "eos" in roles:
        around.append(tokens[roles["eos"]])
    if len(around) > 1:
        special = [(token, vocab[token]) for token in dict.fromkeys(around) if token != "$A"]
        tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=special)
    tokenizer.save(str(folder / "tokenizer.json"))


def _write_sentencepiece(
    file: GgufFile, folder: Path, tokens: list[str], kinds: list[int], roles: dict[str, int]
) -> None:
    from sentencepiece import sentencepiece_model_pb2

    scores = file.value("tokenizer.ggml.scores", list)
    if len(scores) != len(tokens):
        raise file.fail("tokenizer.ggml.scores", f"{len(scores)} scores for {len(tokens)} tokens")
    schema: Any = sentencepiece_model_pb2  # its classes are made at run time
    model = schema.ModelProto()
    for token, score, kind in zip(tokens, scores, kinds, strict=True):
        model.pieces.add(piece=token, score=score, type=kind)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.vocab_size = trainer.BPE, len(tokens)
    trainer.byte_fallback = BYTE in kinds
    unknown = roles.get("unk", kinds.index(UNKNOWN) if UNKNOWN in kinds else 0)
    trainer.unk_id, trainer.unk_piece = unknown, tokens[unknown]
    for role in ("bos", "eos", "pad"):
        i = roles.get(role, -1)
        setattr(trainer, f"{role}_id", i)
        if i >= 0:
            setattr(trainer, f"{role}_piece", tokens[i])
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = file.value("tokenizer.ggml.add_space_prefix", bool, True)
    normalizer.remove_extra_whitespaces = file.value("tokenizer.ggml.remove_extra_whitespaces", bool, False)
    normalizer.escape_whitespaces = True
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
