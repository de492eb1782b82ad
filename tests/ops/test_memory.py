"""Large pages: asked for where constants are, whatever lies beside them, and nothing else is changed."""

import mmap
import re
from pathlib import Path

import numpy as np
import pytest

from mindcold.ops.memory import LARGE_PAGE, SMALLEST, use_large_pages


def flags_at(address):
    """Flags of the mapping that an address lies in."""
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise AssertionError("no such mapping")


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the system has no large pages")
@pytest.mark.parametrize("size", [SMALLEST, LARGE_PAGE - 64, 3 * LARGE_PAGE + 64])
def test_a_constant_lies_in_large_pages_with_what_is_beside_it(size):
    memory = np.frombuffer(mmap.mmap(-1, 8 * LARGE_PAGE), np.uint8)  # an array of NumPy's may ask by itself
    memory[:] = np.arange(len(memory)) % 251
    constant = memory[LARGE_PAGE + 4160 :][:size]
    assert "hg" not in flags_at(constant.ctypes.data)
    use_large_pages(memory[: SMALLEST - 1])
    assert "hg" not in flags_at(constant.ctypes.data)  # too small to ask for
    use_large_pages(constant)
    assert "hg" in flags_at(constant.ctypes.data) and "hg" in flags_at(constant.ctypes.data + size - 1)
    assert (memory == np.arange(len(memory)) % 251).all()
