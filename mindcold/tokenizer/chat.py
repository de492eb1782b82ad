"""Chat templates: a conversation as text, rendered by jinja2 in its sandbox."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mindcold.errors import RequestError, TokenizerError, one_line

Message = dict[str, Any]
"""One chat message: {"role": "user", "content": "..."}."""


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


def render(folder: Path, settings: dict[str, Any], messages: Sequence[Message]) -> str:
    """The text the folder's template makes of a conversation, ready for the assistant's answer.

    Raises TokenizerError when there is no template or it refuses the messages.
    """
    from jinja2 import TemplateError  # a tenth of a second, and most runs have no template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    where, source = find_template(folder, settings)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    try:
        return environment.from_string(source).render(
            messages=list(messages),
            add_generation_prompt=True,
            bos_token=_special_token(settings, "bos_token"),
            eos_token=_special_token(settings, "eos_token"),
            raise_exception=_raise_exception,
            strftime_now=lambda form: datetime.now().strftime(form),
        )
    except (TemplateError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TokenizerError(f"{where}: the chat template failed: {one_line(error)}") from None


def _special_token(settings: dict[str, Any], name: str) -> str:
    value = settings.get(name)
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else ""


def _raise_exception(message: str) -> None:
    raise RequestError(one_line(message))
