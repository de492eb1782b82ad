"""The arithmetic inside GSM8K: the calculator's annotations of its answers, such as `<<48/2=24>>`."""

import re
from decimal import Decimal
from pathlib import Path

from mindcold.tasks.lines import Line, json_lines
from mindcold.tasks.scorers import number
from mindcold.tasks.task import Item, Task

_MARK = re.compile(r"<<(.*?)(?:>>|$)", re.DOTALL)
_NUMBER = r"(?:\d+\.?\d*|\.\d+)"
_ANNOTATION = re.compile(rf"([-+*/().\d]*\d[-+*/().\d]*)=(-?{_NUMBER})")
_OPERATOR = re.compile(r"(?<=[\d.)])[-+*/]")  # not the sign of a number
_GROUPS = {"+": "sum", "-": "difference", "*": "product", "/": "quotient"}


def read(path: Path) -> list[Item]:
    """One item per expression of the annotations in a GSM8K file, in the order of the file, grouped by its operator.

    An expression without an operator is no question and is left out; of several results for one the first counts.
    TaskError for an annotation that is not `<<expression=number>>`.
    """
    items: dict[str, Item] = {}
    for line in json_lines(path):
        for mark in _MARK.finditer(line.text("answer")):
            expression, result = _parts(line, mark)
            operators = set(_OPERATOR.findall(expression))
            if operators and expression not in items:
                items[expression] = _item(expression, result, operators)
    return list(items.values())


def _parts(line: Line, mark: re.Match[str]) -> tuple[str, str]:
    found = _ANNOTATION.fullmatch(mark[1])
    if found is None or not mark[0].endswith(">>"):
        raise line.fail(f"answer: an annotation like <<48/2=24>> is expected, found {mark[0][:40]!r}")
    return found[1], found[2]


def _item(expression: str, result: str, operators: set[str]) -> Item:
    # without the calculator's zeros: 2600.00 is 2600, .5 is 0.5
    answer = format(Decimal(result).normalize(), "f")
    group = _GROUPS[operators.pop()] if len(operators) == 1 else "mixed"
    return Item(f"Compute {expression}", (answer,), group=group, key=_key(expression, group))


def _key(expression: str, group: str) -> str:
    """The expression, terms or factors sorted: 6*2 is in the split of 2*6."""
    if "(" in expression or group not in ("sum", "product"):
        return expression
    operator = "+" if group == "sum" else "*"
    return operator.join(sorted(expression.split(operator)))


TASK = Task(
    "gsm8k-arithmetic", "expressions out of GSM8K's answers: accuracy of the number", read, number, max_new_tokens=32
)
