"""Decoding methods: each is one file that says what to score; the loop and the engine know none of them by name."""

from mindcold.decoding import aded, beam, cdlh, cdsl, cold, greedy, sample
from mindcold.decoding.loop import decode
from mindcold.decoding.method import Method
from mindcold.decoding.options import Options
from mindcold.decoding.request import Request
from mindcold.errors import RequestError

METHODS = {
    "greedy": greedy.build,
    "sample": sample.build,
    "cold": cold.build,
    "aded": aded.build,
    "beam": beam.build,
    "cdlh": cdlh.build,
    "cdsl": cdsl.build,
}
"""Method name to the function that builds it from Options."""


def build(name: str, options: Options) -> Method:
    """The method of this name under these options; RequestError names the known ones."""
    if name not in METHODS:
        raise RequestError(f"method: {name!r} is not one of {', '.join(METHODS)}")
    return METHODS[name](options)


__all__ = ["METHODS", "Method", "Options", "Request", "build", "decode"]
