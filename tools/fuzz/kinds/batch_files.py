"""Input files of batch jobs: lines of any bytes, bodies of any fields and values."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mindcold.batch.input_file import InputFile
from mindcold.batch.responder import Responder
from mindcold.batch.setting import Setting

KIND = "batch files"

_TEXT = st.text(max_size=8) | st.sampled_from(["\u2028", "\u0085", "\ud800", "", "x" * 9000])
_NUMBER = st.integers(-2, 9) | st.floats() | st.sampled_from([10**30, 10**400, 0.5])
_VALUE = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_MESSAGES = st.lists(st.fixed_dictionaries({"role": st.just("user") | _TEXT, "content": _TEXT | _VALUE}), max_size=2)
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["tiny-base", "base"]) | _VALUE,
        "messages": _MESSAGES | _VALUE,
        "prompt": st.just("One day") | _TEXT | st.lists(st.integers(-1, 2050), max_size=3) | _VALUE,
        "max_tokens": st.integers(0, 3) | _VALUE,
        "n": st.just(1) | _VALUE,
        "stop": _TEXT | _VALUE,
        "temperature": _NUMBER | _VALUE,
        "top_p": _NUMBER,
        "seed": _VALUE,
        "decoding_method": st.sampled_from(["cold", "beam", "cdlh"]) | _VALUE,
        "constraint": st.fixed_dictionaries({}, optional={"regex": st.just("a+") | _VALUE, "keywords": _VALUE})
        | _VALUE,
        "response_format": _VALUE,
        "logprobs": _VALUE,
        "alpha": _NUMBER,
        "draft": _VALUE,
        "eos_token_id": _VALUE,
        "stop_strings": _VALUE,
        "bad_words_ids": _VALUE,
        "surprise": _VALUE,
    },
)
_LINE = st.fixed_dictionaries(
    {"custom_id": _TEXT | _VALUE, "url": st.sampled_from(["/v1/completions", "/v1/chat/completions"]), "body": _BODY},
    optional={"method": st.just("POST") | _VALUE, "other": _VALUE},
).map(lambda line: json.dumps(line).encode())
_RAW = st.binary(max_size=20) | st.sampled_from(
    [b"[" * 100_000, b'{"a":' * 100_000, b"7" * 5000, b'{"custom_id": "a", "body": ' + b"[" * 480 + b"]" * 480 + b"}"]
)


def strategy() -> st.SearchStrategy[Any]:
    """The lines of a file, and whether it is said to be text."""
    return st.tuples(
        st.lists(_LINE | _LINE | _RAW, min_size=1, max_size=3), st.sampled_from(["openai", "auto", "text"])
    )


@cache
def _responder() -> Responder:
    return Responder(Setting("tiny-base", options={"max_new_tokens": 2}, max_batch=4), created=0)


def run(case: Any) -> None:
    """Answer the file; every line that is not blank has one record."""
    lines, form = case
    path = Path("input")
    path.write_bytes(b"\n".join(lines))
    try:
        source = InputFile(path, form)
        numbers = [line.number for line in source.lines()]
        records = [record for found in _responder().answer(source.lines()) for record in found]
    finally:
        path.unlink()
        _responder().close()
    assert len(records) == len(numbers) == len({record["id"] for record in records})
    for record in records:
        json.dumps(record).encode()
        assert (record["error"] is None) != (record["response"] is None)
        message = record["error"] and record["error"]["message"]
        assert not message or (message.isprintable() and len(message) < 1000), message
