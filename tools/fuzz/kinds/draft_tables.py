"""Files of draft tables: damaged at any byte, cut, and with other headers."""

import json
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import mindcold

KIND = "draft tables"

_HEADS = st.one_of(
    *[st.none()] * 4,
    st.fixed_dictionaries(
        {}, optional={"format": st.text(max_size=5), "vocab_size": st.just("9"), "tables": st.text()}
    ),
    st.sampled_from(
        ["[" * 100_000, '[["base", "plain"]]', '[["base"]]', "[5]", "{}", '[["\\ud800", "x"]]', "null"]
    ).map(lambda tables: {"tables": tables}),
)
_FLIPS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)
_CUT = st.just(1.0) | st.just(1.0) | st.just(1.0) | st.floats(0, 1)
_SHAPES = st.none() | st.none() | st.none() | st.lists(st.integers(0, 2**40), max_size=3)


def strategy() -> st.SearchStrategy[Any]:
    """Changes of the header's metadata, of a tensor's shape, of single bytes, and how much of the file is left."""
    return st.tuples(_HEADS, _SHAPES, _FLIPS, _CUT)


@cache
def _model() -> tuple[mindcold.LLM, bytes]:
    llm = mindcold.load("tiny-base", "tiny-steps", draft_memory=0.01)
    llm.generate([5, 6, 7], draft="trigram", max_new_tokens=8)
    with tempfile.TemporaryDirectory() as folder:
        llm.save_drafts(Path(folder) / "drafts")
        return llm, (Path(folder) / "drafts").read_bytes()


def run(case: Any) -> None:
    """Load the tables, and draft from them."""
    llm, content = _model()
    path = Path("drafts")
    path.write_bytes(_changed(content, *case))
    try:
        llm.load_drafts(path)
        llm.generate([5, 6, 7], draft="trigram", max_new_tokens=3)
    finally:
        path.unlink()
        llm.forget_drafts()


def _changed(content: bytes, about: dict[str, str] | None, shape: list[int] | None, flips: Any, left: float) -> bytes:
    (size,) = struct.unpack("<Q", content[:8])
    head, body = json.loads(content[8 : 8 + size]), content[8 + size :]
    head["__metadata__"] |= about or {}
    if shape is not None:
        head["1.tokens"]["shape"] = shape
    raw = json.dumps(head).encode()
    whole = bytearray(struct.pack("<Q", len(raw)) + raw + body)
    for place, value in flips:
        whole[int(place * (len(whole) - 1))] = value
    return bytes(whole[: int(left * len(whole))])
