"""Generic MLIR as a tree."""

import pytest
from hivm_ir import IrError, memref, parse, split

from tests.tools.ascend.kernel_text import TEXT

LOOP = """
"builtin.module"() ({
  "func.func"() <{function_type = (index) -> f32, sym_name = "sum"}> ({
  ^bb0(%arg0: index, %arg1: memref<4xf32>):
    %0 = "arith.constant"() <{value = 0 : index}> : () -> index
    %1:2 = "scf.for"(%0, %arg0, %0, %0, %0) ({
    ^bb0(%arg2: index, %arg3: index, %arg4: index):
      "scf.if"(%arg2) ({
        "scf.yield"() : () -> ()
      }, {
      }) {hivm.unlikely_condition} : (index) -> ()
      "scf.yield"(%arg3, %arg4) : (index, index) -> ()
    }) : (index, index, index, index, index) -> (index, index)
    "func.return"(%1#1) : (index) -> ()
  }) : () -> ()
}) : () -> ()
"""


def test_operations_have_numbers_operands_and_types():
    module = parse(TEXT)
    block = module.functions["kernel"].regions[0]
    assert [operation.number for operation in block.operations] == list(range(2, 2 + len(block.operations)))
    assert module.maps == {"#map": "()[s0] -> (s0, 64)"}
    select = next(operation for operation in block.operations if operation.name == "hivm.hir.vsel")
    assert select.operands == ["%6", "%5", "%3", "%7"] and select.numbers("operandSegmentSizes") == [3, 1, 0]
    assert select.operand_types[2] == "f32" and memref(select.operand_types[0]).element == "i1"
    compare = next(operation for operation in block.operations if operation.name == "hivm.hir.vcmp")
    assert compare.word("compare_mode") == "gt" and compare.word("round_mode") is None


def test_regions_nest_and_results_can_be_several():
    block = parse(LOOP).functions["sum"].regions[0]
    loop = block.operations[1]
    assert loop.results == ["%1#0", "%1#1"] and loop.result_types == ["index", "index"]
    assert loop.regions[0].arguments == ["%arg2", "%arg3", "%arg4"]
    branch = loop.regions[0].operations[0]
    assert [len(region.operations) for region in branch.regions] == [1, 0]
    assert block.operations[2].operands == ["%1#1"] and block.argument_types == ["index", "memref<4xf32>"]


def test_memrefs():
    kind = memref("memref<2x?xbf16, strided<[?, 1], offset: ?>, #hivm.address_space<gm>>")
    assert (kind.shape, kind.element, kind.strides, kind.space) == ((2, None), "bf16", (None, 1), "gm")
    assert memref("memref<f32>").shape == () and memref("memref<8xi1>").strides is None
    with pytest.raises(IrError):
        memref("tensor<8xf32>")


def test_commas_in_brackets_do_not_split():
    assert split("memref<1xf32, strided<[1], offset: ?>>, (a, b) -> c, d") == [
        "memref<1xf32, strided<[1], offset: ?>>",
        "(a, b) -> c",
        "d",
    ]


@pytest.mark.parametrize("text", ["", "func.func @f() {", '"builtin.module"() ({\nreturn\n}) : () -> ()'])
def test_what_is_not_generic_is_refused(text):
    with pytest.raises(IrError):
        parse(text)
