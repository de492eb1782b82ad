"""The operators by name, and the choice of the body that runs."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mindspore as ms

from mindcold.errors import OperatorError

log = logging.getLogger("mindcold.ops")


@dataclass(frozen=True, slots=True)
class Body:
    """One implementation of an operator."""

    name: str
    """"aot" (C++ on CPU), "akg" (AKG hybrid on CPU), "ascend" (MindSpore's operators for Ascend alone), "triton"
    (kernels for Ascend) or "builtin" (MindSpore's operators for every device)."""
    make: Callable[..., Any]
    """Static settings to a Cell for graph mode; for lora_linear to a weight, which then gives the cells."""
    missing: Callable[[], str | None]
    """None where all it needs is installed, else what is missing."""
    device: str | None = None
    """The only device it is for, as MindSpore names it; None for every device."""
    automatic: bool = True
    """Whether "auto" may choose it."""
    in_graph: bool = True
    """Whether it can be part of a graph; else it is called between two."""

    def unavailable_reason(self) -> str | None:
        """None where it can run, else the reason why not."""
        target = ms.get_context("device_target")
        if self.device not in (None, target):
            return f"the device is {target}, this body is for {self.device}"
        return self.missing()


class Operator:
    """One contract with several bodies; the first that can run is chosen, and kept.

    `reference` is the contract itself, in NumPy: every body is accepted by comparison with it.
    """

    def __init__(self, name: str, reference: Callable[..., Any], bodies: tuple[Body, ...]):
        self.name, self.reference, self.bodies = name, reference, bodies
        self._chosen: Body | None = None
        _OPERATORS[name] = self

    def available(self) -> dict[str, str | None]:
        """Body name to None where it can run here, else to the reason why not."""
        return {body.name: body.unavailable_reason() for body in self.bodies}

    def body(self, backend: str = "auto", **settings: Any) -> Any:
        """A body as a Cell for graph mode; OperatorError when no operator knows `backend` or it cannot run here."""
        return self.choose(backend).make(**settings)

    def choose(self, backend: str = "auto") -> Body:
        """The body of this name, or the first that can run with "auto" and with a name only other operators have.

        OperatorError as for `body`.
        """
        for body in self.bodies:
            if body.name == backend:
                reason = body.unavailable_reason()
                if reason:
                    raise OperatorError(f"{self.name}: body {backend!r} cannot run here: {reason}")
                return body
        known = body_names()
        if backend not in ("auto", *known):
            raise OperatorError(f"backend: {backend!r} is not one of auto, {', '.join(known)}")
        return self._automatic()

    def _automatic(self) -> Body:
        if self._chosen is None:
            target = ms.get_context("device_target")
            for body in (body for body in self.bodies if body.automatic and body.device in (None, target)):
                reason = body.unavailable_reason()
                if reason is None:
                    self._chosen = body
                    break
                if (body.name, reason) not in _WARNED:  # once, not for every operator
                    _WARNED.add((body.name, reason))
                    log.warning("%s: body %r cannot run here (%s); trying the next", self.name, body.name, reason)
            else:
                raise OperatorError(f"{self.name}: no body can run here")
        return self._chosen


_OPERATORS: dict[str, Operator] = {}
_WARNED: set[tuple[str, str]] = set()


def names() -> list[str]:
    """Names of all operators."""
    return sorted(_OPERATORS)


def body_names() -> list[str]:
    """Names that a body of any operator has."""
    return sorted({body.name for operator in _OPERATORS.values() for body in operator.bodies})


def get(name: str) -> Operator:
    """The operator of this name; OperatorError names the known ones."""
    if name not in _OPERATORS:
        raise OperatorError(f"operator {name!r} is not one of {', '.join(names())}")
    return _OPERATORS[name]
