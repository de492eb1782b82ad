"""Methods as they are written on the command line: `cdsl:draft=trigram,tau_a=0.5`."""

import re
from dataclasses import dataclass, field, fields
from typing import Any

from mindcold.decoding.method import CONTRASTIVE, METHODS
from mindcold.errors import RequestError
from mindcold.sampling_params import SamplingParams

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WORDS = {"true": True, "false": False, "none": None}
_TEXTS = {item.name for item in fields(SamplingParams) if item.metadata["kind"] is str}


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """A method with its options, under the text it was written as."""

    label: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    """Keywords of `generate`."""


def parse_methods(text: str) -> list[MethodSpec]:
    """Methods separated by ";"; RequestError for what cannot be read or comes twice."""
    specs = [parse_method(part.strip()) for part in text.split(";") if part.strip()]
    if not specs:
        raise RequestError("--methods: empty; write one as in greedy;cold:alpha=0.1,beta=0.5")
    labels = [spec.label for spec in specs]
    for label in labels:
        if labels.count(label) > 1:
            raise RequestError(f"--methods: {label!r} is there twice")
    return specs


def parse_method(text: str, flag: str = "--methods") -> MethodSpec:
    """One method, `name[:key=value,...]`; a value is a number, true, false or none where it reads as one, else text.

    It is text where the keyword takes texts (`draft=none`). RequestError begins with `flag`.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, Any] = {}
    if not _NAME.fullmatch(name) or (colon and not rest):
        raise RequestError(f"{flag}: {text[:80]!r} is not of the form name:key=value,key=value")
    for part in rest.split(",") if rest else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not _NAME.fullmatch(key) or not value:
            raise RequestError(f"{flag}: {text[:80]!r}: {part[:40]!r} is not of the form key=value")
        if key in options:
            raise RequestError(f"{flag}: {text[:80]!r}: {key} is given twice")
        options[key] = value if key in _TEXTS else _value(value)
    return MethodSpec(text, name, options)


def presets(adapter: bool, constrained: bool, model: str | None, model_adapter: str | None) -> list[MethodSpec]:
    """Every method with every draft that can run: with or without an adapter, constraints and a drafting model.

    What is the same under two names is there once, under that of fewer options, then the first.
    """
    found: dict[tuple[Any, ...], MethodSpec] = {}
    by_model = {"draft": model} | ({"draft_adapter": model_adapter} if model_adapter else {})
    for method in METHODS.values():
        if (method.score == CONTRASTIVE and not adapter) or (method.search.constrained and not constrained):
            continue
        if "amateur" in method.search.keywords:
            more = {"draft_adapter": model_adapter} if model_adapter else {}
            rows: list[dict[str, Any]] = [{"amateur": "base"}] if adapter else []
            rows += [{"amateur": model} | more] if model else []
        else:
            rows = [{} if draft == method.draft else {"draft": draft} for draft in method.drafts]
            rows += [by_model] if model and method.models else []
        for options in rows:
            label = ",".join(f"{key}={value}" for key, value in options.items())
            spec = MethodSpec(f"{method.name}:{label}" if label else method.name, method.name, options)
            kind = method.score, method.search, method.sampled, *sorted(({"draft": method.draft} | options).items())
            if kind not in found or len(options) < len(found[kind].options):
                found[kind] = spec
    return list(found.values())


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
