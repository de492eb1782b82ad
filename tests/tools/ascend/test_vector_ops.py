"""Vector instructions of the IR in NumPy."""

import numpy as np
import pytest
import vector_ops
from hivm_ir import Operation
from vector_ops import UnknownOperation, compute

VECTOR = [((4,), "f32")]


def instruction(name, properties=""):
    return Operation(0, f"hivm.hir.{name}", [], [], properties, [], [])


def run(name, sources, properties="", targets=VECTOR, values=()):
    return compute(instruction(name, properties), name, [np.asarray(item) for item in sources], targets, list(values))


def test_scalars_take_the_type_of_the_vector():
    (found,) = compute(instruction("vmul"), "vmul", [np.float16([0.1, 3]), 0.1], [((2,), "f16")], [])
    assert found.dtype == np.float16 and found.tolist() == (np.float16([0.1, 3]) * np.float16(0.1)).tolist()


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [("rint", [-2, 0, 2, 4]), ("trunc", [-1, 0, 1, 3]), ("floor", [-2, 0, 1, 3]), ("ceil", [-1, 1, 2, 4])],
)
def test_casts_round_as_they_are_told(mode, wanted):
    found = vector_ops.cast(np.float32([-1.5, 0.5, 1.5, 3.5]), "i32", mode)
    assert found.tolist() == wanted and found.dtype == np.int32


def test_comparisons_and_selection():
    a, b = np.float32([1, 2, np.nan, -np.inf]), np.float32([1, 3, 0, 0])
    (mask,) = run("vcmp", [a, b], "compare_mode = #hivm.compare_mode<ge>")
    assert mask.tolist() == [True, False, False, False]
    assert run("vsel", [mask, a, b])[0].tolist()[:2] == [1, 3]


@pytest.mark.parametrize(("kind", "wanted"), [("sum", 6), ("max", 3), ("min", -1)])
def test_reductions_keep_their_axis(kind, wanted):
    value = np.float32([[1, 3, -1, 3]])
    (found,) = run(
        "vreduce", [value], f"arith = #hivm.reduce_op<{kind}>, reduce_dims = array<i64: 1>", [((1, 1), "f32")]
    )
    assert found.tolist() == [[wanted]]


def test_a_reduction_with_index_takes_the_first():
    value, places = np.float32([1, 3, -1, 3]), [((1,), "f32"), ((1,), "i32")]
    properties = "arith = #hivm.reduce_op<max_with_index_left>, reduce_dims = array<i64: 0>"
    assert [item.tolist() for item in run("vreduce", [value], properties, places)] == [[3], [1]]


def test_channels_are_taken_apart():
    mode = "index_mode = #hivm.deinterleave_mode<CHANNEL_1>"
    assert run("vdeinterleave", [np.arange(8)], mode)[0].tolist() == [1, 3, 5, 7]


def test_a_range_has_offset_and_stride():
    segments = "operandSegmentSizes = array<i32: 1, 1, 1>"
    found = compute(instruction("varange", segments), "varange", [], [((4,), "i32")], [None, 10, 3])
    assert found[0].tolist() == [10, 13, 16, 19]


@pytest.mark.parametrize(
    ("name", "properties", "values"),
    [
        ("vfancy", "", []),
        ("vadd", "transpose = array<i64: 1, 0>", []),
        ("vreduce", "arith = #hivm.reduce_op<fancy>, reduce_dims = array<i64: 0>", []),
        ("load", "init_out_buffer = true", []),
        ("load", "", [None, None, 0.0, 2]),
    ],
)
def test_what_is_not_modelled_is_refused(name, properties, values):
    with pytest.raises(UnknownOperation):
        run(name, [np.zeros(4, np.float32)] * 2, properties, values=values)
