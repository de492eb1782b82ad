"""The exceptions of mindcold: every refusal of bad input is one line that names the file and the field."""

import reprlib


class MindcoldError(Exception):
    """Base of all errors a user can cause; the message is one line and says what to do."""


class ModelError(MindcoldError):
    """A model folder cannot be used: missing file, unknown architecture, wrong shape, NaN weight."""


class AdapterError(MindcoldError):
    """An adapter folder cannot be used: unsupported field, wrong base, wrong shape."""


class TokenizerError(MindcoldError):
    """A tokenizer file cannot be read, or text was given to a model folder that has no tokenizer."""


class RequestError(MindcoldError, ValueError):
    """A generation request is not valid: empty prompt, id out of range, alpha outside (0, 1]."""


class OperatorError(MindcoldError):
    """A custom operator cannot be built, or the body that was asked for cannot run here."""


class TrainingError(MindcoldError):
    """A training run cannot start or go on: bad data, bad setting, a loss that is not finite."""


class BatchError(MindcoldError):
    """A batch job cannot start or go on: unreadable input, an output that is another job's, a full disk."""


class JobError(MindcoldError):
    """A process of a job cannot find its place: variables of the environment or arguments that make no sense."""


def one_line(text: object, limit: int | None = 200) -> str:
    """A message (or that of an exception) in one line of at most `limit` characters, for a MindcoldError.

    What cannot be printed, such as the codes that steer a terminal, is written as an escape.
    """
    line = " ".join(str(text).split())
    if not line.isprintable():
        line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    return line if limit is None or len(line) <= limit else f"{line[: limit - 3]}..."


def shown(value: object, limit: int = 200) -> str:
    """What was found instead, for a message: its repr in one line of at most `limit` characters, else its type."""
    try:
        return one_line(_BRIEF.repr(value), limit)
    except Exception:  # a number of thousands of digits, a class whose repr fails
        return f"a value of type {type(value).__name__}"


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 200
