"""Chat templates: messages to prompt text, as `apply_chat_template` of transformers renders them."""

from collections.abc import Mapping, Sequence
from typing import Any

from mindcold.errors import TokenizerError, one_line
from mindcold.isolated import SECONDS, TaskError, call

Message = Mapping[str, Any]
"""One chat message: {"role": "user", "content": "..."}; more fields as the template reads them."""

TEMPLATE = 1 << 20
"""Characters of a template at most."""


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
    `enable_thinking`, are seen by the template. All of it is data that JSON can hold. Runs in jinja2's sandbox, in a
    process of bounded time and memory (`mindcold.isolated`). Raises TokenizerError that begins with `where` when the
    template is damaged, exceeds a bound or refuses the messages.
    """
    if not all(isinstance(message, Mapping) for message in messages):
        raise TokenizerError(f"{where}: messages: dictionaries with role and content are expected")
    if len(template) > TEMPLATE:
        raise TokenizerError(f"{where}: the chat template has more than {TEMPLATE} characters")
    try:
        given = {
            **(special_tokens or {}),
            "messages": _plain(list(messages)),
            "tools": _plain(tools),
            "documents": _plain(documents),
            "add_generation_prompt": add_generation_prompt,
            **_plain(variables),
        }
        return call("templates", "render", template, given, seconds=SECONDS)
    except TaskError as error:
        raise TokenizerError(f"{where}: the chat template failed: {one_line(error)}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise TokenizerError(f"{where}: messages: data that JSON can hold is expected ({one_line(error)})") from None


def special_tokens(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Role to text of the special tokens in the content of a tokenizer_config.json, of those that are set."""
    found: dict[str, Any] = {}
    for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        value = settings.get(f"{role}_token")
        value = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(value, str):
            found[f"{role}_token"] = value
    return found


def _plain(value: Any) -> Any:
    """Mappings and sequences as the dictionaries and lists that templates can join and compare."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item) for item in value]
    return value
