"""The chat template of a model folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindcold.errors import TokenizerError

Message = dict[str, Any]
"""One chat message: {"role": "user", "content": "..."}; more fields as the template reads them."""


def find_template(folder: Path, settings: dict[str, Any]) -> tuple[Path, str]:
    """The template of a model folder and the file it is from; TokenizerError where there is none.

    `settings` is the content of its tokenizer_config.json.
    """
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own, own.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):  # several named templates
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
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
