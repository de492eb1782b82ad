"""Patterns compiled by outlines-core, whose automata may be of any size; called in the bounded process."""

import outlines_core
from outlines_core.json_schema import build_regex_from_schema


def automaton(pattern: str, words: dict[str, list[int]], size: int) -> bytes:
    """The automaton of a regular expression over the tokens of a vocabulary of `size`, as `Index.from_binary` reads it.

    `words` gives the ids of each text that a token has.
    """
    index = outlines_core.Index(pattern, outlines_core.Vocabulary(size, words))
    return index.__reduce__()[1][0]  # what pickle would store; the library has no other door out


def of_schema(schema: str) -> str:
    """The regular expression of a JSON schema."""
    return build_regex_from_schema(schema)
