"""Vector clocks on traces made by hand: races, deadlocks, flags without their pair."""

import numpy as np
import pytest
from clocks import PIPES, Clocks, Shadow
from hypothesis import given, settings
from hypothesis import strategies as st

HERE, THERE = slice(0, 8), slice(8, 16)


@pytest.fixture
def trace():
    return Clocks(), Shadow(16)


def kinds(clocks):
    return sorted({text.partition(":")[0] for text in clocks.findings})


def test_what_a_flag_orders_is_no_race(trace):
    clocks, memory = trace
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    clocks.set_flag("MTE2", "V", 0)
    clocks.wait_flag("MTE2", "V", 0)
    clocks.instruction("V", "add", [(memory, HERE)], [(memory, THERE)])
    assert clocks.findings == {}


@pytest.mark.parametrize("blind", [False, True])
def test_a_read_that_nothing_orders_is_a_race(trace, blind):
    clocks, memory = trace
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    if blind:
        clocks.set_flag("MTE2", "V", 0)
        clocks.wait_flag("MTE2", "V", 0, blind=True)
    clocks.instruction("V", "add", [(memory, HERE)], [(memory, THERE)])
    assert list(clocks.findings) == ["race: add reads before written by MTE2 load"]


def test_other_bytes_are_no_race(trace):
    clocks, memory = trace
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    clocks.instruction("V", "add", [(memory, THERE)], [(memory, THERE)])
    assert clocks.findings == {}


def test_a_write_over_what_is_still_read_is_a_race(trace):
    clocks, memory = trace
    clocks.instruction("MTE3", "store", [(memory, HERE)], [])
    clocks.instruction("V", "add", [], [(memory, HERE)])
    assert list(clocks.findings) == ["race: add overwrites before read by MTE3 store"]


def test_two_writes_without_order_are_a_race(trace):
    clocks, memory = trace
    clocks.instruction("V", "fill", [], [(memory, HERE)])
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    assert list(clocks.findings) == ["race: load overwrites what is due from V fill"]


def test_order_goes_through_a_third_pipe(trace):
    clocks, memory = trace
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    clocks.set_flag("MTE2", "V", 0)
    clocks.wait_flag("MTE2", "V", 0)
    clocks.set_flag("V", "MTE3", 0)
    clocks.wait_flag("V", "MTE3", 0)
    clocks.instruction("MTE3", "store", [(memory, HERE)], [])
    assert clocks.findings == {}


def test_a_flag_orders_only_what_was_before_it(trace):
    clocks, memory = trace
    clocks.set_flag("MTE2", "V", 0)
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    clocks.wait_flag("MTE2", "V", 0)
    clocks.instruction("V", "add", [(memory, HERE)], [])
    assert kinds(clocks) == ["race"]


def test_a_pipe_needs_a_barrier_between_dependent_instructions(trace):
    clocks, memory = trace
    clocks.instruction("V", "add", [], [(memory, HERE)])
    clocks.barrier("V")
    clocks.instruction("V", "mul", [(memory, HERE)], [(memory, THERE)])
    assert clocks.findings == {}
    clocks.instruction("V", "exp", [(memory, THERE)], [])
    assert list(clocks.findings) == ["race: exp reads before written by V mul"]


def test_a_barrier_of_all_orders_all(trace):
    clocks, memory = trace
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    clocks.barrier("ALL")
    clocks.instruction("V", "add", [(memory, HERE)], [])
    clocks.barrier("ALL")
    clocks.finish()
    assert clocks.findings == {}


def test_what_the_scalar_unit_waits_for_holds_everything_back(trace):
    clocks, memory = trace
    clocks.instruction("MTE2", "load", [], [(memory, HERE)])
    clocks.set_flag("MTE2", "S", 0)
    clocks.wait_flag("MTE2", "S", 0)
    clocks.instruction("V", "add", [(memory, HERE)], [])
    assert clocks.findings == {}


def test_what_the_scalar_unit_stores_needs_a_flag(trace):
    clocks, memory = trace
    clocks.instruction("S", "store", [], [(memory, HERE)])
    clocks.instruction("S", "load", [(memory, HERE)], [])
    assert clocks.findings == {}
    clocks.instruction("MTE3", "store", [(memory, HERE)], [])
    assert kinds(clocks) == ["race"]


def test_a_wait_without_its_set_is_a_deadlock(trace):
    clocks, _ = trace
    clocks.set_flag("MTE2", "V", 0)
    clocks.wait_flag("MTE2", "V", 1)
    clocks.finish()
    assert kinds(clocks) == ["deadlock", "flag never waited for"]


def test_a_flag_is_one_bit(trace):
    clocks, _ = trace
    clocks.set_flag("MTE2", "V", 0)
    clocks.set_flag("MTE2", "V", 0)
    assert kinds(clocks) == ["flag set twice"]


def test_a_kernel_does_not_end_before_its_work(trace):
    clocks, memory = trace
    clocks.instruction("MTE3", "store", [(memory, HERE)], [])
    clocks.finish()
    assert list(clocks.findings) == ["the kernel ends before MTE3 is done"]


BYTES = st.frozensets(st.integers(0, 3), max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("instruction"), st.sampled_from(PIPES), BYTES, BYTES),
    st.tuples(st.just("flag"), st.sampled_from(PIPES), st.sampled_from(PIPES)),
    st.tuples(st.just("barrier"), st.sampled_from([*PIPES, "ALL"])),
)


def oracle(steps):
    """Whether two instructions on the same byte, one of which writes, are in no order: by sets of what is done."""
    done = {pipe: set() for pipe in PIPES}
    issued = {pipe: set() for pipe in PIPES}
    before = []
    for number, (kind, pipe, *rest) in enumerate(steps):
        if kind == "barrier":
            for each in PIPES if pipe == "ALL" else (pipe,):
                done[each] |= set().union(*issued.values()) if pipe == "ALL" else issued[each]
        elif kind == "flag":
            known = done[pipe] | issued[pipe]
            for each in PIPES if rest[0] == "S" else (rest[0],):
                done[each] |= known
        else:
            reads, writes = rest
            known = done[pipe] | (issued[pipe] if pipe == "S" else set())
            for other, others_reads, others_writes in before:
                if (writes & (others_reads | others_writes) or reads & others_writes) and other not in known:
                    return True
            before.append((number, reads, writes))
            issued[pipe].add(number)
    return False


@given(st.lists(STEPS, max_size=12))
@settings(max_examples=150, deadline=None)
def test_races_are_those_of_an_oracle_with_sets(steps):
    clocks, memory = Clocks(), Shadow(4)
    for kind, pipe, *rest in steps:
        if kind == "barrier":
            clocks.barrier(pipe)
        elif kind == "flag":
            clocks.set_flag(pipe, rest[0], 0)
            clocks.wait_flag(pipe, rest[0], 0)
        else:
            reads, writes = (np.array(sorted(part), np.int64) for part in rest)
            clocks.instruction(pipe, "one", [(memory, reads)], [(memory, writes)])
    assert bool(clocks.findings) == oracle(steps)
