"""Flags of the keywords of a generation, made from where they are declared."""

import argparse
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mindcold import values
from mindcold.cli import streams
from mindcold.errors import RequestError
from mindcold.sampling_params import SamplingParams, bounds

_IDS, _WORDS, _TEXTS = "comma-separated ids", "ids of one sequence, comma-separated; repeatable", "repeatable"
_SPECIAL = {"eos_token_id": _IDS, "suppress_tokens": _IDS, "bad_words_ids": _WORDS, "stop_strings": _TEXTS}
_NAMES = {"stop_strings": "--stop-string", "bad_words_ids": "--bad-word-ids"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for every keyword that can be written on a command line."""
    group = parser.add_argument_group("decoding", "the keywords of generate")
    for item in fields(SamplingParams):
        about = item.metadata
        name, kind = _NAMES.get(item.name, flag(item.name)), about["kind"]
        if item.name in _SPECIAL:
            action = "append" if item.name in _NAMES else "store"
            group.add_argument(name, dest=item.name, action=action, help=f"{about['help']} ({_SPECIAL[item.name]})")
        elif kind is bool:
            group.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=about["help"])
        elif kind is not object:
            group.add_argument(name, type=kind, help=_help(item.default, about))


def keywords(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords that were given; RequestError for lists that are none."""
    found = {}
    for item in fields(SamplingParams):
        value = getattr(args, item.name, None)
        if value is None:
            continue
        if item.name in ("eos_token_id", "suppress_tokens"):
            value = integers(value, flag(item.name))
        elif item.name == "stop_strings":
            value = [streams.as_typed(text) for text in value]
        elif item.name == "bad_words_ids":
            value = [integers(word, _NAMES[item.name]) for word in value]
        found[item.name] = value
    return found


class AsPath(argparse.Action):
    """A flag whose value is a path; RequestError names it where it is empty."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        """Take the value."""
        setattr(namespace, self.dest, values.path(option or self.dest, value, RequestError))


def flag(name: str) -> str:
    """The flag of a keyword."""
    return f"--{name.replace('_', '-')}"


def integers(text: str, name: str) -> list[int]:
    """Integers of a comma-separated list."""
    try:
        return [int(item) for item in text.split(",") if item.strip()]
    except ValueError:
        raise RequestError(f"{name}: comma-separated integers are expected, found {text[:80]!r}") from None


def _help(default: Any, about: Mapping[str, Any]) -> str:
    """Help with what may be given and the default."""
    limit = ", ".join(about["choices"]) if about["kind"] is str else bounds(about)
    shown = [part for part in (limit, "" if default is None else f"default {default}") if part]
    text = f"{about['help']} ({'; '.join(shown)})" if shown else about["help"]
    return text.replace("%", "%%")
