"""From a Triton kernel to Triton IR, to linalg, to the final HIVM of a target: triton-ascend and ascendnpu-ir.

What would follow, `hivmc`, is a part of CANN: nothing here makes an object or runs on a device.
"""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hivm_ir
from cases import Kernel
from contracts import kernels

LAST_PASS = "hivm-insert-free-lock-var-before-return"
"""The last pass before operations become calls of the device library."""

BOUNDED_TARGET = "Ascend910B3"
TARGETS = (
    *("Ascend910B1", "Ascend910B2", BOUNDED_TARGET, "Ascend910B4"),
    *("Ascend910_9362", "Ascend910_9372", "Ascend910_9381", "Ascend910_9382", "Ascend910_9391", "Ascend910_9392"),
)
"""Targets with the 910B's vector core; other chips have other instructions."""

FLAGS = (
    "--enable-auto-multi-buffer=true",
    "--enable-auto-bind-sub-block=true",
    "--enable-hfusion-compile=true",
    "--enable-hivm-compile=true",
    "--enable-triton-kernel-compile=true",
    # so far those that triton-ascend gives when it launches a kernel
    f"--mlir-print-ir-after={LAST_PASS}",
    "--mlir-print-ir-module-scope",
    "--mlir-disable-threading",
    "--mlir-print-op-generic",
)


class CompileError(Exception):
    """A stage refuses a kernel; the message is the compiler's."""


@dataclass(frozen=True)
class Compiled:
    """A kernel in its last form."""

    module: hivm_ir.Module
    calls: frozenset[str]
    """Functions of the device library it calls."""
    text: str
    """The functions' text: what is equal for two targets is equal in all it does."""

    @property
    def doubled(self) -> int:
        """Places in the text that take one of two buffers in turn, so that one is filled while the other is read."""
        return len(re.findall(r'"arith\.select"\([^)]*\) : \(i1, memref<[^)]*address_space<ub>', self.text))


def linalg(kernel: Kernel, target: str, function: Any = None) -> str:
    """The kernel (or another function in its place) through Triton IR to linalg on tensors."""
    from triton._C.libtriton import ir
    from triton.backends.ascend.compiler import AscendBackend, make_ttir, ttir_to_linalg
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    chip = GPUTarget("npu", target, 0)
    backend = AscendBackend(chip)
    options = backend.parse_options({})
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    source = ASTSource(function or getattr(kernels(kernel.operator), kernel.name), kernel.signature, kernel.constants)
    module = source.make_ir(options, backend.get_codegen_implementation(), backend.get_module_map(), context)
    metadata = {"target": chip, "hash": "none", **options.__dict__}
    try:
        text = ttir_to_linalg(make_ttir(module, metadata, options), metadata, options, named_ops=True)
    except subprocess.CalledProcessError as error:
        raise CompileError(f"{kernel.name}: {(error.stderr or b'').decode()[-2000:]}") from None
    return re.sub(r', mix_mode = "[^"]*"', "", text)


def hivm(kernel: Kernel, target: str, text: str) -> Compiled:
    """The final HIVM, after tiling, double buffering, addresses in the unified buffer and synchronisation."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.mlir"
        source.write_text(text)
        command = [_tool("bishengir-compile"), str(source), f"--target={target}", *FLAGS]
        command += [f"--save-temps={folder}", "-o", f"{folder}/kernel.o"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        library = Path(folder) / "module.hivm.opt.mlir"
        # without hivmc the compiler ends with an error, after everything that can be done without it
        if "Cannot find hivmc" not in run.stderr or not library.is_file():
            errors = [line for line in run.stderr.splitlines() if "rror" in line and not line.startswith("//")]
            raise CompileError(f"{kernel.name} for {target}: {' '.join(errors)[:2000]}")
        printed = [line for line in run.stderr.splitlines() if not line.startswith("[")]
        calls = re.findall(r'sym_name = "(\w+)", sym_visibility = "private"', library.read_text())
    text = "\n".join(printed)
    end = text.rfind("}) {dlti.target_system_spec")
    return Compiled(hivm_ir.parse(text), frozenset(calls), text[text.index('"func.func"') : end if end > 0 else None])


def compiled(kernel: Kernel, target: str, function: Any = None) -> Compiled:
    """Both steps."""
    return hivm(kernel, target, linalg(kernel, target, function))


LIBRARIES = ("meta_op.aiv.bc", "meta_op.aiv.c220.bc")
"""The device library of the vector core: for any, and that of the 910B's architecture."""


@cache
def device_library() -> frozenset[str]:
    """Functions that all libraries of the vector core define."""
    import llvmlite.binding as llvm

    found = []
    for name in LIBRARIES:
        module = llvm.parse_bitcode((_package() / "lib" / name).read_bytes())
        names = {function.name for function in module.functions if not function.is_declaration}
        found.append(names | {name.removeprefix("_mlir_ciface_") for name in names})
    return frozenset(set.intersection(*found))


@cache
def _package() -> Path:
    found = find_spec("ascendnpuir")
    if found is None or not found.submodule_search_locations:
        raise CompileError("ascendnpu-ir is not installed here; run tools/ascend/prove.sh")
    return Path(next(iter(found.submodule_search_locations)))


def _tool(name: str) -> str:
    return str(_package() / "bin" / name)
