"""Chat templates: messages to prompt text, as `apply_chat_template` of transformers renders them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mindcold.errors import TokenizerError

Message = Mapping[str, Any]
"""One chat message: {"role": "user", "content": "..."}; more fields as the template reads them."""


def render(
    template: str,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    special_tokens: Mapping[str, Any] | None = None,
    where: str = "chat_template",
    **variables: Any,
) -> str:
    """The prompt text of a conversation, ready for the assistant's answer.

    `tools` are JSON schemas and `documents` dictionaries with "title" and "text", None where there are none.
    `special_tokens` holds those the tokenizer has by role ({"bos_token": "<s>"}); other keywords, such as
    `enable_thinking`, are seen by the template. Runs in jinja2's sandbox. Raises TokenizerError that begins with
    `where` when the template is damaged or refuses the messages.
    """
    if not all(isinstance(message, Mapping) for message in messages):
        raise TokenizerError(f"{where}: messages: dictionaries with role and content are expected")
    try:
        return _compiled(template).render(
            **{
                **(special_tokens or {}),
                "messages": _plain(list(messages)),
                "tools": _plain(tools),
                "documents": _plain(documents),
                "add_generation_prompt": add_generation_prompt,
                **_plain(variables),
            }
        )
    except (TemplateError, TypeError, ValueError, OverflowError, RecursionError, LookupError, ArithmeticError) as error:
        raise TokenizerError(f"{where}: the chat template failed: {' '.join(str(error).split())[:200]}") from None


def special_tokens(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Role to text of the special tokens in the content of a tokenizer_config.json, of those that are set."""
    found: dict[str, Any] = {}
    for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        value = settings.get(f"{role}_token")
        value = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(value, str):
            found[f"{role}_token"] = value
    return found


class _Generation(Extension):
    """`{% generation %}`: marks what the assistant wrote for training; the text goes through unchanged."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


@lru_cache(16)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Plain JSON: jinja2's own filter sorts keys and escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: object) -> None:
    raise TemplateError(str(message))


def _plain(value: Any) -> Any:
    """Mappings and sequences as the dictionaries and lists that templates can join and compare."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item) for item in value]
    return value
