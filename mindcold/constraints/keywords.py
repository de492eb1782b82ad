"""Words that must come, in any order and form, and phrases that must not."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import snowballstemmer

from mindcold import values
from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.constraints.text import TextState
from mindcold.errors import shown

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
OPEN = re.compile(r"[^\W_]+(?:['’][^\W_]*)?\ufffd*\Z")
"""A last word that may go on: letters, an apostrophe, or bytes that are no character yet."""


class Keywords:
    """All words of a set, in any order and inflection (Snowball stems): the value is the share that is there.

    Forms no stemmer brings together are written as alternatives, "scarf|scarves". The last word of a text that does not
    end yet counts as it stands. Source of the task: CommonGen, as in CDSL (arXiv 2412.10418).
    """

    cumulative = True

    def __init__(self, words: Sequence[str], language: str = "english"):
        self.words, self.language = _texts("Keywords", words, "words"), _known("Keywords", language)
        if not self.words:
            raise ConstraintError("constraint Keywords: the list is empty; give at least one word")
        self._forms = [[stems(form, language) for form in word.split("|")] for word in self.words]
        for word, forms in zip(self.words, self._forms, strict=True):
            if not all(forms):
                raise ConstraintError(f"constraint Keywords: {shown(word)} holds no word")

    def start(self, vocabulary: Vocabulary) -> State:
        """Nothing is covered yet; ConstraintError for a keyword the tokenizer cannot spell."""
        tokenizer = vocabulary.text("Keywords")
        for word in self.words:
            spelled = tokenizer.decode(tokenizer.encode(word))
            if stems(spelled, self.language) != stems(word, self.language):
                raise ConstraintError(f"constraint Keywords: the tokenizer cannot spell {shown(word)}")
        return TextState(tokenizer, self.coverage, explain=self.missing, keep=self.kept)

    def coverage(self, text: str) -> float:
        """Share of the keywords whose stems follow one another in the text."""
        there = self._there(text)
        return sum(there) / len(there)

    def kept(self, text: str) -> float:
        """The coverage that no longer text can lose: without the last word, as it may go on."""
        return self.coverage(OPEN.sub("", text))

    def missing(self, text: str) -> str:
        """The keywords that are not there."""
        there = self._there(text)
        return ", ".join(word for word, found in zip(self.words, there, strict=True) if not found) + " missing"

    def _there(self, text: str) -> list[bool]:
        found = stems(text, self.language)
        return [any(contains(found, form) for form in forms) for forms in self._forms]


class Forbidden:
    """Phrases that must not come, in any inflection: the value is 1 while none is there, else 0."""

    cumulative = False

    def __init__(self, phrases: Sequence[str], language: str = "english"):
        self.phrases, self._language = _texts("Forbidden", phrases, "phrases"), _known("Forbidden", language)
        self._phrases = [stems(phrase, language) for phrase in self.phrases]
        if not self.phrases or not all(self._phrases):
            raise ConstraintError("constraint Forbidden: a list of phrases is expected, each with a word")

    def start(self, vocabulary: Vocabulary) -> State:
        """Nothing is there yet."""
        return TextState(vocabulary.text("Forbidden"), self.cleanness, explain=self.present)

    def cleanness(self, text: str) -> float:
        """1 for a text without any of the phrases."""
        return 0.0 if self._there(text) else 1.0

    def present(self, text: str) -> str:
        """The phrases that are there."""
        return ", ".join(self._there(text)) + " forbidden"

    def _there(self, text: str) -> list[str]:
        found = stems(text, self._language)
        return [phrase for phrase, stem in zip(self.phrases, self._phrases, strict=True) if contains(found, stem)]


def _texts(name: str, given: Any, what: str) -> list[str]:
    """A list of texts as a constraint is given one; one alone is a list of it."""
    found = values.items([given] if isinstance(given, str) else given, values.text)
    if found is None:
        raise ConstraintError(f"constraint {name}: a list of {what} is expected, found {shown(given)}")
    return found


def _known(name: str, language: Any) -> str:
    if not isinstance(language, str) or language not in snowballstemmer.algorithms():
        raise ConstraintError(f"constraint {name}: language: no stemmer for {shown(language)}")
    return language


def contains(text: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the stems of a phrase follow one another in those of a text."""
    if len(phrase) == 1:
        return phrase[0] in text
    size = len(phrase)
    return any(tuple(text[i : i + size]) == tuple(phrase) for i in range(len(text) - size + 1))


def stems(text: str, language: str) -> tuple[str, ...]:
    """Stems of the words of a text, in order."""
    return tuple(_stem(word, language) for word in WORD.findall(text.lower()))


@lru_cache(1 << 14)
def _stem(word: str, language: str) -> str:
    return _stemmer(language).stemWord(word)


@lru_cache
def _stemmer(language: str):
    return snowballstemmer.stemmer(language)
