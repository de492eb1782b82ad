"""CommonGen (Lin et al. 2020): a sentence that holds a set of concepts, in any inflection."""

from collections.abc import Iterator
from pathlib import Path

from mindcold.constraints import Keywords
from mindcold.tasks.lines import Line, json_lines, text_lines
from mindcold.tasks.scorers import keywords
from mindcold.tasks.task import Item, Task


def read(path: Path) -> list[Item]:
    """One item per concept set with all its references.

    Lines are `concepts = sentence`, or JSON: {"concept_set": "ski#mountain", "scene": [...]}, {"concepts": [...],
    "target": "..."}, or a list with the inflections of each concept ([["ski", "skis"], ["mountain", "mountains"]]).
    """
    references: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], Line] = {}
    for line, concepts, sentences in _json(path) if path.suffix in (".json", ".jsonl") else _text(path):
        first.setdefault(concepts, line)
        references.setdefault(concepts, []).extend(sentences)
    return [_item(first[concepts], concepts, found) for concepts, found in references.items()]


def _text(path: Path) -> Iterator[tuple[Line, tuple[str, ...], list[str]]]:
    for line in text_lines(path):
        concepts, equals, sentence = line.value.partition("=")
        if not equals or not concepts.split():
            raise line.fail("concepts, = and a sentence are expected")
        yield line, tuple(concepts.split()), [sentence.strip()] if sentence.strip() else []


def _json(path: Path) -> Iterator[tuple[Line, tuple[str, ...], list[str]]]:
    for line in json_lines(path):
        if isinstance(line.value, list):
            if not line.value or not all(_is_forms(forms) for forms in line.value):
                raise line.fail("a list with a list of inflections per concept is expected")
            yield line, tuple("|".join(forms) for forms in line.value), []
        elif isinstance(line.value, dict) and "concept_set" in line.value:
            # the data set marks parts of speech as in ski_V
            concepts = [part.partition("_")[0].strip() for part in line.text("concept_set").split("#")]
            yield line, tuple(concepts), line.strings("scene") if line.value.get("scene") else []
        else:
            concepts = line.strings("concepts")
            yield line, tuple(concepts), line.strings("target") if (line.value.get("target")) else []


def _is_forms(forms: object) -> bool:
    return isinstance(forms, list) and bool(forms) and all(isinstance(form, str) and form.strip() for form in forms)


def _item(line: Line, concepts: tuple[str, ...], references: list[str]) -> Item:
    shown = ", ".join(concept.partition("|")[0] for concept in concepts)
    try:
        constraint = Keywords(concepts)
    except ValueError as error:
        raise line.fail(f"concepts: {error}") from None
    return Item(
        f"Write one sentence with these words: {shown}.",
        tuple(references),
        constraint,
        f"{len(concepts)} words",
        " ".join(sorted(concepts)),
    )


TASK = Task("commongen", "a sentence with given words: hard and soft coverage", read, keywords, max_new_tokens=32)
