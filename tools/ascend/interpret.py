"""The kernels in Triton's own interpreter (NumPy), compared with the contract: the algorithm, before any compiler.

A process of its own, since Triton decides when it is imported: TRITON_INTERPRET=1 python tools/ascend/interpret.py
"""

import json
import sys
import time
from typing import Any

import numpy as np
from cases import Case, Kernel
from contracts import kernels
from grid import all_kernels


class Pointer:
    """An array as Triton's interpreter takes a tensor."""

    device = "cpu"

    def __init__(self, array: np.ndarray, dtype: Any):
        self.array, self.dtype = array, dtype

    def data_ptr(self) -> int:
        """Its address."""
        return self.array.ctypes.data

    def cpu(self) -> "Pointer":
        """A copy."""
        return Pointer(self.array.copy(), self.dtype)

    def to(self, device: str) -> "Pointer":
        """Itself."""
        return self

    def copy_(self, other: "Pointer") -> None:
        """Take another's numbers."""
        self.array[...] = other.array

    @property
    def data(self) -> "Pointer":
        """Itself."""
        return self


def interpreted(kernel: Kernel, case: Case) -> list[np.ndarray]:
    """The arrays after the kernel has run."""
    import triton.language as tl

    types = {"fp32": tl.float32, "fp16": tl.float16, "bf16": tl.bfloat16, "i32": tl.int32, "i8": tl.int8}
    arrays = case.fresh()
    pointers = [Pointer(a, types[kernel.signature[name][1:]]) for name, a in zip(case.arrays, arrays, strict=True)]
    with np.errstate(all="ignore"):
        getattr(kernels(kernel.operator), kernel.name)[case.grid](*pointers, *case.scalars.values(), **kernel.constants)
    return arrays


def main() -> None:
    """One line of JSON for each kernel."""
    bounded = "--bounded" in sys.argv
    for kernel in all_kernels():
        if bounded and not kernel.bounded:
            continue
        start, count, found = time.perf_counter(), 0, list[str]()
        try:
            for case in kernel.cases(bounded):
                if bounded and not case.small:
                    continue
                found += case.differences(interpreted(kernel, case))
                count += 1
        except Exception as error:  # whatever the interpreter raises is a finding, the others are still run
            found.append(f"{type(error).__name__}: {error}"[:500])
        seconds = round(time.perf_counter() - start, 2)
        line = {"kernel": kernel.name, "label": kernel.label, "cases": count, "wrong": found, "seconds": seconds}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
