"""Scalar operations of the IR against Python and NumPy."""

import numpy as np
import pytest
from hivm_ir import Operation
from hypothesis import given
from hypothesis import strategies as st
from scalar_ops import scalar, wrap
from vector_ops import UnknownOperation

INTEGERS = st.integers(-(2**31), 2**31 - 1)
FLOATS = st.floats(width=32)


def operation(name, kind, properties="", operand="i32"):
    return Operation(0, name, ["%0"], [], properties, [operand, operand], [kind])


@given(INTEGERS, INTEGERS)
def test_integers_wrap_like_those_of_numpy(a, b):
    with np.errstate(over="ignore"):
        for name, plain in (("addi", np.add), ("subi", np.subtract), ("muli", np.multiply), ("xori", np.bitwise_xor)):
            assert scalar(operation(f"arith.{name}", "i32"), [a, b], {}) == plain(np.int32(a), np.int32(b))


@given(INTEGERS, INTEGERS.filter(bool))
def test_signed_division_rounds_to_zero(a, b):
    quotient = scalar(operation("arith.divsi", "i64"), [a, b], {})
    remainder = scalar(operation("arith.remsi", "i64"), [a, b], {})
    assert quotient * b + remainder == a and abs(remainder) < abs(b) and remainder * a >= 0


@given(INTEGERS, INTEGERS)
def test_integer_comparisons(a, b):
    for predicate, plain in enumerate((a == b, a != b, a < b, a <= b, a > b, a >= b)):
        found = scalar(operation("arith.cmpi", "i1", f"predicate = {predicate} : i64"), [a, b], {})
        assert found == plain
    unsigned = scalar(operation("arith.cmpi", "i1", "predicate = 6 : i64"), [a, b], {})
    assert unsigned == (np.int32(a).view(np.uint32) < np.int32(b).view(np.uint32))


@given(FLOATS, FLOATS)
def test_float_comparisons_know_nan(a, b):
    a, b = np.float32(a), np.float32(b)
    unordered = bool(np.isnan(a) or np.isnan(b))
    plain = {1: a == b, 2: a > b, 3: a >= b, 4: a < b, 5: a <= b, 6: a != b}
    for predicate, wanted in plain.items():
        ordered = scalar(operation("arith.cmpf", "i1", f"predicate = {predicate} : i64", "f32"), [a, b], {})
        either = scalar(operation("arith.cmpf", "i1", f"predicate = {predicate + 7} : i64", "f32"), [a, b], {})
        assert ordered == (bool(wanted) and not unordered) and either == (bool(wanted) or unordered)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_affine_maps(a, b):
    maps = {"#map": "(d0)[s0] -> (d0 * 3 - s0, (s0 + 7) floordiv 4 mod 5, d0 ceildiv 8, -d0)"}
    wanted = [a * 3 - b, (b + 7) // 4 % 5, -(-a // 8), -a]
    assert scalar(operation("affine.min", "index", "map = #map"), [a, b], maps) == min(wanted)
    assert scalar(operation("affine.max", "index", "map = #map"), [a, b], maps) == max(wanted)
    inline = operation("affine.apply", "index", "map = affine_map<()[s0] -> (s0 * 2)>")
    assert scalar(inline, [a], {}) == 2 * a


def test_constants_have_the_bits_that_are_printed():
    found = scalar(operation("arith.constant", "f32", "value = 0xFF800000 : f32"), [], {})
    assert found == -np.inf and found.dtype == np.float32
    assert scalar(operation("arith.constant", "bf16", "value = 0x7F80 : bf16"), [], {}) == np.inf
    assert scalar(operation("arith.constant", "i1", "value = true"), [], {}) == 1
    assert scalar(operation("arith.constant", "i32", "value = -5 : i32"), [], {}) == -5


def test_widths():
    assert wrap(255, "i8") == -1 and wrap(2**31, "i32") == -(2**31) and wrap(3, "i1") == 1
    assert scalar(operation("arith.extui", "i32", operand="i1"), [1], {}) == 1
    assert scalar(operation("arith.fptosi", "i32", operand="f32"), [np.float32(-2.7)], {}) == -2


def test_what_is_not_known_is_refused():
    with pytest.raises(UnknownOperation):
        scalar(operation("arith.fancy", "i32"), [1, 2], {})
