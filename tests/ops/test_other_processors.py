"""The C++ bodies for processors that this machine is not: compiled, since nothing here can run them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mindcold.ops import build

OPS = Path(build.__file__).resolve().parent
SOURCES = sorted(OPS.glob("*/kernel.cc"))
APART = OPS / "frozen_matmul" / "kernel.cc"
"""Has names of its own that another source has too."""

PROCESSORS = {
    "AVX2": ("-march=haswell",),
    "AVX-512": ("-march=skylake-avx512",),
    "AVX-512 BF16": ("-march=cooperlake",),
    "AMX": ("-march=sapphirerapids", "-DMINDCOLD_AMX"),
    "portable": ("-march=x86-64",),
}


def compile_all(program, folder, *flags):
    """Every source to assembly: that an instruction is missing shows only then. One file, which takes a third of it."""
    together = folder / "all.cc"
    together.write_text("".join(f'#include "{source}"\n' for source in SOURCES if source != APART), encoding="utf-8")
    kept = [flag for flag in build.FLAGS if not flag.startswith(("-O", "-march", "-shared", "-Wl"))]
    for source in (together, APART):
        command = [program, *kept, "-O0", *flags, "-S", "-o", str(folder / "all.s"), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", PROCESSORS)
def test_every_body_compiles_for(name, tmp_path):
    machine = subprocess.run([build.compiler(), "-dumpmachine"], capture_output=True, text=True, timeout=60).stdout
    if not machine.startswith("x86_64"):
        pytest.skip(f"g++ is for {machine.strip()}")
    compile_all(build.compiler(), tmp_path, *PROCESSORS[name])


def test_every_body_compiles_for_neon(tmp_path):
    program = shutil.which("aarch64-linux-gnu-g++")
    if program is None:
        pytest.skip("aarch64-linux-gnu-g++ is not installed (Debian: g++-aarch64-linux-gnu)")
    compile_all(program, tmp_path)
