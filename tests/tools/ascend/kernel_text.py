"""A kernel's final IR by hand, as the compiler prints it: rows of a float32 matrix, masked, doubled, stored.

Operations are numbered from the module on; `NUMBERS` has those that order the pipes.
"""

UB = "#hivm.address_space<ub>"
GM = "#hivm.address_space<gm>"
FLAG = "<{{set_pipe = #hivm.pipe<PIPE_{}>, static_event_id = #hivm.event<EVENT_ID0>, wait_pipe = #hivm.pipe<PIPE_{}>}}>"
SEGMENTS = "broadcast = array<i64>, operandSegmentSizes = array<i32: {}>, transpose = array<i64>"


def flag(kind, before, after):
    return f'"hivm.hir.{kind}_flag"() {FLAG.format(before, after)} : () -> ()'


def buffer(name, address, kind):
    cast = '"hivm.hir.pointer_cast"'
    return f"{name} = {cast}({address}) <{{operandSegmentSizes = array<i32: 1, 0>}}> : (i64) -> {kind}"


FLOATS, BITS = f"memref<64xf32, {UB}>", f"memref<64xi1, {UB}>"
ROW = f"memref<?xf32, strided<[1], offset: ?>, {GM}>"
PART = f"memref<?xf32, strided<[1]>, {UB}>"
CAST = (
    "<{operandSegmentSizes = array<i32: 1, 1, 0, 0>, static_offsets = array<i64: -9223372036854775808>, "
    "static_sizes = array<i64: 64>, static_strides = array<i64: 1>}>"
)
VIEW = (
    "<{operandSegmentSizes = array<i32: 1, 0, 1, 0>, static_offsets = array<i64: 0>, "
    "static_sizes = array<i64: -9223372036854775808>, static_strides = array<i64: 1>}>"
)
ARGUMENTS = ", ".join(
    [
        "%arg0: i64",
        *(f"%arg{i}: memref<?xi8, {GM}>" for i in (1, 2)),
        *(f"%arg{i}: memref<?xf32, {GM}>" for i in (3, 4)),
    ]
    + [f"%arg{i}: i32" for i in range(5, 12)]
)

LINES = f"""
%0 = "arith.constant"() <{{value = 0 : i64}}> : () -> i64
%1 = "arith.constant"() <{{value = 256 : i64}}> : () -> i64
%2 = "arith.constant"() <{{value = 512 : i64}}> : () -> i64
%3 = "arith.constant"() <{{value = 0.000000e+00 : f32}}> : () -> f32
%4 = "arith.constant"() <{{value = 0xFF800000 : f32}}> : () -> f32
{buffer("%5", "%0", FLOATS)}
{buffer("%6", "%1", BITS)}
{buffer("%7", "%2", FLOATS)}
%8 = "hivm.hir.get_block_idx"() : () -> i64
%9 = "arith.trunci"(%8) : (i64) -> i32
%10 = "arith.muli"(%9, %arg5) <{{overflowFlags = #arith.overflow<none>}}> : (i32, i32) -> i32
%11 = "arith.index_cast"(%10) : (i32) -> index
%12 = "arith.index_cast"(%arg5) : (i32) -> index
%13 = "affine.min"(%12) <{{map = #map}}> : (index) -> index
"hivm.hir.vbrc"(%4, %5) <{{broadcast_dims = array<i64>}}> : (f32, {FLOATS}) -> ()
{flag("set", "V", "MTE2")}
{flag("wait", "V", "MTE2")}
%14 = "memref.reinterpret_cast"(%arg3, %11) {CAST} : (memref<?xf32, {GM}>, index) -> {ROW}
%15 = "memref.subview"(%14, %13) {VIEW} : ({ROW}, index) -> {ROW}
%16 = "memref.subview"(%5, %13) {VIEW} : ({FLOATS}, index) -> {PART}
"hivm.hir.load"(%15, %16, %4) <{{pad_mode = #hivm.padmode<PadValue>}}> : ({ROW}, {PART}, f32) -> ()
{flag("set", "MTE2", "V")}
{flag("wait", "MTE2", "V")}
"hivm.hir.vcmp"(%5, %3, %6) <{{compare_mode = #hivm.compare_mode<gt>, {SEGMENTS.format("2, 1")}}}> : \
({FLOATS}, f32, {BITS}) -> ()
"hivm.hir.pipe_barrier"() <{{pipe = #hivm.pipe<PIPE_V>}}> : () -> ()
"hivm.hir.vsel"(%6, %5, %3, %7) <{{{SEGMENTS.format("3, 1, 0")}}}> : ({BITS}, {FLOATS}, f32, {FLOATS}) -> ()
"hivm.hir.pipe_barrier"() <{{pipe = #hivm.pipe<PIPE_V>}}> : () -> ()
"hivm.hir.vadd"(%7, %5, %7) <{{{SEGMENTS.format("2, 1, 0")}}}> : ({FLOATS}, {FLOATS}, {FLOATS}) -> ()
{flag("set", "V", "MTE3")}
{flag("wait", "V", "MTE3")}
%17 = "memref.reinterpret_cast"(%arg4, %11) {CAST} : (memref<?xf32, {GM}>, index) -> {ROW}
%18 = "memref.subview"(%17, %13) {VIEW} : ({ROW}, index) -> {ROW}
%19 = "memref.subview"(%7, %13) {VIEW} : ({FLOATS}, index) -> {PART}
"hivm.hir.store"(%19, %18) <{{may_implicit_transpose_with_last_axis = false}}> : ({PART}, {ROW}) -> ()
"hivm.hir.pipe_barrier"() <{{pipe = #hivm.pipe<PIPE_ALL>}}> : () -> ()
"func.return"() : () -> ()
""".strip().splitlines()

TEXT = "\n".join(
    [
        "// -----// IR Dump After LastPass (last-pass) //----- //",
        "#map = affine_map<()[s0] -> (s0, 64)>",
        '"builtin.module"() ({',
        '  "func.func"() <{function_type = () -> (), sym_name = "kernel"}> ({',
        f"  ^bb0({ARGUMENTS}):",
        *(f"    {line}" for line in LINES),
        "  }) {hacc.entry} : () -> ()",
        "}) {hacc.target} : () -> ()",
    ]
)

NUMBERS = [2 + i for i, line in enumerate(LINES) if "_flag" in line or "barrier" in line]
