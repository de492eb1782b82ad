"""Small folders to damage: the files of a model and of an adapter, and the ways a file can be wrong."""

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save

from mindcold.config import parse_config
from mindcold.model.shapes import linear_shapes, weight_shapes
from mindcold.model_folder import find_folder

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "eos_token_id": 2,
}
TARGETS = ("q_proj", "down_proj")

_NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**24, 2**24 + 1, 2**31, 2**63, 10**30, 10**400]),
    st.floats(),
    st.sampled_from([1e38, 1e300, 1e-320, 0.5]),
)
_TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "\0", "\ud800", "../../etc/passwd", "a\nb", "²", "9" * 500]),
    st.just("x").map(lambda sign: sign * 10**5),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(_TEXTS, inner, max_size=3),
        st.just([]).map(lambda item: [item] * 10**5),
    ),
    max_leaves=4,
)
"""Any JSON value, rich in what nobody expects."""

BYTES = st.one_of(
    st.sampled_from(["missing", "empty", "pipe", "folder", "device", "unreadable link", "nested"]).map(lambda x: (x,)),
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("flip"), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4)),
    st.tuples(st.just("garbage"), st.binary(max_size=40)),
)
"""Ways for any file to be wrong."""


def fields(names: list[str]) -> st.SearchStrategy[Any]:
    """Ways for a JSON file to be wrong: some of its fields have other values."""
    return st.tuples(
        st.just("fields"), st.dictionaries(st.sampled_from(names) | _TEXTS, VALUES, min_size=1, max_size=2)
    )


HEADER = st.tuples(
    st.just("header"),
    st.tuples(st.floats(0, 1), st.sampled_from(["dtype", "shape", "data_offsets", "name"]), VALUES)
    | st.tuples(st.floats(0, 1), st.just("dtype"), st.sampled_from(["F16", "BF16", "F64", "I8", "F8_E4M3", "U8"])),
)
"""Ways for a safetensors file to be wrong: one tensor has another type, shape, place or name."""

SCALE = st.tuples(st.just("scale"), st.sampled_from([0.0, 1e10, 1e30, 3e38, float("inf"), float("nan")]))
"""The same with other numbers in it."""


@cache
def model_files() -> dict[str, bytes]:
    """A model with both kinds of tokenizers."""
    rng = np.random.default_rng(0)
    shapes = weight_shapes(parse_config(CONFIG, "fuzz"))
    weights = {name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    settings = {
        "bos_token": "<s>",
        "add_bos_token": True,
        "added_tokens_decoder": {"60": {"content": "<|user|>", "special": True}},
        "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
    }
    pieces = {piece: i for i, piece in enumerate(["<s>", "a", "</s>", *"bcdefghi", "Ġ", "Ċ"])}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": pieces, "merges": [], "byte_fallback": False, "ignore_merges": False},
    }
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "generation_config.json": b'{"eos_token_id": 2}',
        "tokenizer_config.json": json.dumps(settings).encode(),
        "tokenizer.json": json.dumps(tokenizer).encode(),
        "tokenizer.model": (find_folder("tiny-base") / "tokenizer.model").read_bytes(),
        "model.safetensors": save(weights),
    }


@cache
def adapter_files() -> dict[str, bytes]:
    """A PEFT adapter of two linear layers."""
    rng, tensors = np.random.default_rng(1), {}
    for module, (out_size, in_size) in linear_shapes(parse_config(CONFIG, "fuzz")).items():
        if module.endswith(TARGETS):
            for side, shape in (("A", (2, in_size)), ("B", (out_size, 2))):
                value = 0.3 * rng.standard_normal(shape)
                tensors[f"base_model.model.{module}.lora_{side}.weight"] = value.astype(np.float32)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": list(TARGETS), "bias": "none"}
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": save(tensors)}


@contextmanager
def folder(name: str, files: Mapping[str, bytes], wrong: Mapping[str, Any]) -> Iterator[Path]:
    """A folder of these files, some of them wrong; whoever uses it must leave it as it is."""
    home = Path(name).absolute()
    home.mkdir()
    try:
        for item in sorted({*files, *wrong}):
            _write(home / item, files.get(item, b""), wrong.get(item, ("right",)))
        before = _listing(home)
        yield home
        if _listing(home) != before:
            raise AssertionError(f"{name}: changed")
    finally:
        shutil.rmtree(home)


def _listing(home: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.lstat().st_size) for path in home.rglob("*"))


def _write(path: Path, content: bytes, how: tuple[Any, ...]) -> None:
    kind, *values = how
    if kind == "missing":
        return
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in ("device", "unreadable link"):
        path.symlink_to("/dev/zero" if kind == "device" else "/nowhere")
    else:
        path.write_bytes(_changed(content, kind, *values))


def _changed(content: bytes, kind: str, value: Any = None) -> bytes:
    if kind in ("empty", "garbage"):
        return value or b""
    if kind == "nested":
        return b"[" * 10**5
    if kind == "cut":
        return content[: int(value * len(content))]
    if kind == "flip":
        changed = bytearray(content or b"{}")
        for place, byte in value:
            changed[min(int(place * len(changed)), len(changed) - 1)] = byte
        return bytes(changed)
    if kind == "fields":
        return json.dumps(json.loads(content or b"{}") | value).encode()
    if kind == "text":
        return value.encode("utf-8", "surrogatepass")
    if kind in ("header", "scale") and content:
        return _safetensors(content, kind, value)
    return content


def _safetensors(content: bytes, kind: str, value: Any) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    head, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    if kind == "scale":
        with np.errstate(all="ignore"):
            body = (np.frombuffer(body, np.float32) * np.float32(value)).tobytes()
    else:
        place, field, new = value
        name = sorted(head)[min(int(place * len(head)), len(head) - 1)]
        if field == "name":
            head[json.dumps(new)[:1000]] = head.pop(name)
        else:
            head[name][field] = new
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body
