"""Regular expressions of `re`, whose backtracking may have no end; called in the bounded process."""

import re


def matches(form: str, pattern: str, texts: list[str]) -> list[tuple[bool, str | None]]:
    """Whether a pattern, put into `form`, matches each text as a whole, and its group called `layer`."""
    re.compile(pattern)  # has to be one by itself too
    compiled = re.compile(form.replace("{}", pattern))
    found = (compiled.fullmatch(text) for text in texts)
    return [(item is not None, item.groupdict().get("layer") if item else None) for item in found]
