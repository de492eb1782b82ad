"""The chat template of a model folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindcold.errors import TokenizerError, one_line
from mindcold.files import is_file, read_bytes

_SIZE = 1 << 22
"""Bytes of a template file at most."""

Message = dict[str, Any]
"""One chat message: {"role": "user", "content": "..."}; more fields as the template reads them."""


def find_template(folder: Path, settings: dict[str, Any]) -> tuple[Path, str]:
    """The template of a model folder and the file it is from; TokenizerError where there is none.

    `settings` is the content of its tokenizer_config.json.
    """
    own = folder / "chat_template.jinja"
    if is_file(own, TokenizerError):
        try:
            return own, read_bytes(own, TokenizerError, _SIZE).decode("utf-8")
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{own}: not UTF-8 ({one_line(error)})") from None
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates
        named = [item for item in template if isinstance(item, dict) and item.get("name") == "default"]
        template = named[0].get("template") if named else None
    where = folder / "tokenizer_config.json"
    if not isinstance(template, str):
        raise TokenizerError(f"{where}: chat_template: missing; give a plain text prompt instead of messages")
    return where, template


def render(folder: Path, settings: dict[str, Any], messages: Sequence[Message], **variables: Any) -> str:
    """The text the folder's template makes of a conversation, ready for the assistant's answer.

    `variables` are those of `mindcold.chat.render`, such as `tools` and `documents`. Raises TokenizerError when there
    is no template or it refuses the messages.
    """
    from mindcold import chat  # jinja2 takes a tenth of a second, and most runs have no template

    where, template = find_template(folder, settings)
    return chat.render(template, messages, special_tokens=chat.special_tokens(settings), where=str(where), **variables)
