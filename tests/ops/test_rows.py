"""The row layout is the same in Python and in C++."""

import re
from pathlib import Path

from mindcold.ops import rows

HEADER = Path(rows.__file__).with_name("rows.h").read_text(encoding="utf-8")


def test_the_header_has_the_same_lines():
    body = re.search(r"enum Row : int \{(.*?)\};", HEADER, re.DOTALL)
    assert body is not None
    found = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+),", body.group(1))}
    assert found == {line.name: int(line) for line in rows.Row}
    assert sorted(found.values()) == list(range(rows.LINES))


def test_the_header_has_the_same_bounds():
    constants = dict(re.findall(r"constexpr int (\w+) = (\d+);", HEADER))
    assert constants == {"kLines": str(rows.LINES), "kMaxDepth": str(rows.MAX_DEPTH)}
