"""Lines of the output: OpenAI's batch output format, a response or an error for each line of the input."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mindcold.batch.body import CHAT, Body
from mindcold.batch.input_file import Line
from mindcold.output import Output, Token


@dataclass(slots=True)
class Choice:
    """One generation of a line, done or under way."""

    tokens: list[Token] = field(default_factory=list)
    output: Output | None = None


def record_id(line: Line) -> str:
    """The id of a line's record, which begins with the line's number, by which a job that goes on knows it."""
    digest = hashlib.sha256((line.custom_id or "").encode()).hexdigest()[:16]
    return f"batch_req_{line.number:08d}_{digest}"


def line_number(record: Any) -> int | None:
    """The number of the line a record of the output answers; None for what is no record of ours."""
    name = record.get("id") if isinstance(record, dict) else None
    parts = name.split("_") if isinstance(name, str) else []
    return int(parts[2]) if len(parts) == 4 and parts[:2] == ["batch", "req"] and parts[2].isdecimal() else None


def error_record(line: Line, code: str, message: str) -> dict[str, Any]:
    """A line that was not answered: "invalid_request" for what cannot be decoded, "request_failed" for what failed."""
    error = {"code": code, "message": f"line {line.number}: {message}"}
    return {"id": record_id(line), "custom_id": line.custom_id, "response": None, "error": error}


def record(line: Line, body: Body, choices: Sequence[Choice], created: int, with_ids: bool) -> dict[str, Any]:
    """A line with its choices, all of them done; `created` in seconds since 1970.

    `with_ids` adds the token ids to each choice, for models without a tokenizer.
    """
    outputs = [choice.output for choice in choices if choice.output]
    failed = next((output.stats.error for output in outputs if output.stats.error), None)
    if failed is not None:
        return error_record(line, "request_failed", failed)
    chat = body.url == CHAT
    prompts = outputs[:: max(1, len(outputs) // body.prompts)]
    prompt, completion = sum(out.stats.prompt_tokens for out in prompts), sum(len(out.token_ids) for out in outputs)
    name = record_id(line)
    content = {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{name}",
        "object": "chat.completion" if chat else "text_completion",
        "created": created,
        "model": body.model,
        "choices": [_choice(i, choice, body, with_ids) for i, choice in enumerate(choices)],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }
    response = {"status_code": 200, "request_id": name, "body": content}
    return {"id": name, "custom_id": line.custom_id, "response": response, "error": None}


def _choice(index: int, choice: Choice, body: Body, with_ids: bool) -> dict[str, Any]:
    output = choice.output
    assert output is not None
    text, chat = _without_stop(output, body.stops), body.url == CHAT
    found: dict[str, Any] = {"index": index, "finish_reason": output.finish_reason, "logprobs": None}
    if chat:
        found["message"] = {"role": "assistant", "content": text, "refusal": None}
    else:
        found["text"] = text
    if body.logprobs:
        found["logprobs"] = _chat_logprobs(choice.tokens) if chat else _logprobs(choice.tokens)
    if with_ids:
        found["token_ids"] = output.token_ids
    return found


def _without_stop(output: Output, stops: Sequence[str]) -> str:
    """The text without the stop string that ended it, as OpenAI gives it."""
    ended = [stop for stop in stops if output.finish_reason == "stop" and output.text.endswith(stop)]
    return output.text[: -max(map(len, ended))] if ended else output.text


def _chat_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    content = [
        {"token": token.text, "logprob": token.logprob, "bytes": list(token.text.encode()), "top_logprobs": []}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    texts = [token.text for token in tokens]
    starts = [0]
    for text in texts:
        starts.append(starts[-1] + len(text))
    logprobs = [token.logprob for token in tokens]
    return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": None, "text_offset": starts[:-1]}
