"""The exceptions of mindcold: every refusal of bad input is one line that names the file and the field."""


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


def shown(value: object, limit: int = 200) -> str:
    """The `repr` of a value from outside in one line of at most `limit` characters, for a MindcoldError."""
    try:
        return one_line(repr(value), limit)
    except Exception:  # an integer of too many digits, a class of the user's
        return f"a value of type {type(value).__name__}"


def one_line(text: object, limit: int | None = 200) -> str:
    """A message (or that of an exception) in one line of at most `limit` characters, for a MindcoldError."""
    line = " ".join(str(text).split())
    if not line.isprintable():
        line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)
    return line if limit is None or len(line) <= limit else f"{line[: limit - 3]}..."
