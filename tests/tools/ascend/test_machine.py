"""The final IR on the CPU: a kernel written by hand, right as it is and found out when something is left out."""

import numpy as np
import pytest
from hivm_ir import parse
from machine import Machine
from memory import OutOfBounds

from tests.tools.ascend.kernel_text import NUMBERS, TEXT

MODULE = parse(TEXT)


def run(width=50, rows=2, **planted):
    x = np.random.default_rng(0).standard_normal((rows, width)).astype(np.float32)
    y = np.zeros_like(x)
    machine = Machine(MODULE, "kernel", **planted)
    machine.events = []
    machine.run([x, y], [width], [rows])
    return machine, np.where(x > 0, x, np.float32(0)) + x, y


@pytest.mark.parametrize("width", [1, 50, 64])
def test_it_computes_what_the_text_says(width):
    machine, wanted, y = run(width)
    assert np.array_equal(y, wanted) and machine.findings == {}
    assert machine.instructions == {"V": 8, "MTE2": 2, "MTE3": 2} and machine.ub_used == 768


@pytest.mark.parametrize("number", NUMBERS)
def test_every_flag_and_barrier_is_missed(number):
    assert run(skip={number})[0].findings


@pytest.mark.parametrize("number", [n for n in NUMBERS if "wait_flag" in TEXT.splitlines()[n + 3]])
def test_every_wait_orders_something(number):
    assert [text for text in run(blind={number})[0].findings if text.startswith("race")]


@pytest.mark.parametrize(("buffer", "onto"), [(0, 512), (512, 0), (256, 0), (0, 256)])
def test_buffers_on_top_of_each_other_are_found(buffer, onto):
    machine, _, _ = run(moved={buffer: onto})
    assert [text for text in machine.findings if text.startswith("buffers")]


def test_masks_are_bits_in_the_same_memory():
    _, wanted, y = run(moved={256: 0})  # eight bytes of mask over the first two numbers
    assert not np.array_equal(y[:, :2], wanted[:, :2]) and np.array_equal(y[:, 2:48], wanted[:, 2:48])


def test_a_buffer_beyond_the_memory_is_refused():
    with pytest.raises(OutOfBounds, match="the unified buffer"):
        run(moved={512: 196_608 - 128})


def test_a_load_beyond_an_array_is_refused():
    x = np.zeros(40, np.float32)
    with pytest.raises(OutOfBounds, match="argument 0"):
        Machine(MODULE, "kernel").run([x, np.zeros(50, np.float32)], [50], [1])


def test_what_nothing_wrote_is_found():
    number = NUMBERS[0] - 1  # the fill of the lanes behind a short row
    machine, _, _ = run(skip={number})
    assert [text for text in machine.findings if "nothing wrote" in text]
    assert run(width=64, skip={number, *NUMBERS[:2]})[0].findings == {}


def test_programs_that_touch_each_others_results_are_found():
    module = parse(TEXT.replace('"arith.muli"(%9, %arg5)', '"arith.muli"(%9, %9)'))  # rows begin at 0 and 1
    machine = Machine(module, "kernel")
    machine.run([np.zeros(52, np.float32), np.zeros(52, np.float32)], [50], [2])
    assert [text for text in machine.findings if text.startswith("programs") and "argument 1" in text]
    assert not [text for text in machine.findings if "argument 0" in text]  # which is only read
