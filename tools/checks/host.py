"""The host: versions, CANN with its compiler, driver and chip, and whether MindSpore reaches the device."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from checks.step import Missing, Setting

PACKAGES = ("mindcold", "mindspore", "numpy", "triton-ascend", "triton", "ascendnpu-ir", "mindformers")
CANN_VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_INSTALL_PATH")
CANN_FOLDERS = ("cann", "ascend-toolkit/latest", "latest")
README = "tools/ascend/README.md"


def versions(setting: Setting) -> dict[str, Any]:
    """Machine, Python, packages."""
    return {
        "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
        "variables": {name: os.environ[name] for name in (*CANN_VARIABLES, "TRITON_BACKEND") if name in os.environ},
    }


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def find_cann() -> Path | None:
    """The folder of the toolkit: what set_env.sh names, else the places it is installed to."""
    named = [Path(os.environ[name]) for name in CANN_VARIABLES if os.environ.get(name)]
    homes = (Path("/usr/local/Ascend"), Path.home() / "Ascend")
    places = named + [home / folder for home in homes for folder in CANN_FOLDERS]
    return next((place for place in places if place.is_dir()), None)


def find_program(name: str, cann: Path | None) -> Path | None:
    """A program of the toolkit, on PATH or below its folder."""
    found = shutil.which(name)
    if found:
        return Path(found)
    if cann is None:
        return None
    return next((path for path in cann.rglob(name) if path.is_file() and os.access(path, os.X_OK)), None)


def cann(setting: Setting) -> dict[str, Any]:
    """CANN, its version, and the compiler's last stage, hivmc."""
    folder = find_cann()
    if folder is None:
        raise Missing(
            f"CANN was not found: none of {', '.join(CANN_VARIABLES)} is set, nothing in /usr/local/Ascend or ~/Ascend",
            f"install the CANN toolkit and kernels and source its set_env.sh, see {README}, step 2",
        )
    found = {name: find_program(name, folder) for name in ("hivmc", "bishengir-compile", "bisheng", "ccec")}
    if found["hivmc"] is None:
        raise Missing(
            f"{folder} has no hivmc, which makes objects of kernels",
            f"CANN 8.5 or later is needed, see {README}, step 2",
        )
    return {"folder": str(folder), "version": version_of(folder)} | {
        name: str(path) if path else None for name, path in found.items()
    }


def version_of(folder: Path) -> str | None:
    """What the files beside a CANN package or a driver say."""
    for name in ("version.info", "version.cfg", "compiler/version.info", "runtime/version.info"):
        path = folder / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            match = re.search(r"(?i)version\s*=\s*\[?([\w.:\-]+)", text)
            return match[1] if match else text.strip().splitlines()[0][:80]
    return None


def chip(setting: Setting) -> dict[str, Any]:
    """The driver and the chips, by npu-smi."""
    program = shutil.which("npu-smi")
    if program is None:
        raise Missing("npu-smi was not found", f"install the NPU driver and firmware, see {README}, step 1")
    done = subprocess.run([program, "info"], capture_output=True, text=True, errors="replace", timeout=60)
    names = chips_of(done.stdout)
    if done.returncode or not names:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["it printed nothing"]
        raise Missing(
            f"npu-smi info names no chip: {lines[0][:200]}",
            "is the driver loaded and may this user (group HwHiAiUser) open /dev/davinci*?",
        )
    return {"driver": version_of(Path("/usr/local/Ascend/driver")), "chips": names, "npu-smi": done.stdout}


def chips_of(text: str) -> list[str]:
    """Names in the table of `npu-smi info`: | 0  910B3 | OK | ..."""
    return re.findall(r"^\|\s*\d+\s+((?:Ascend\s*)?\d{3}\w*)\s*\|", text, re.MULTILINE)


def target_of(text: str) -> str:
    """The name compilers have for a chip: 910B3 -> Ascend910B3."""
    return text.replace(" ", "") if text.startswith("Ascend") else f"Ascend{text}"


def device(setting: Setting) -> dict[str, Any]:
    """MindSpore computes a product on an Ascend device."""
    import mindspore as ms
    import numpy as np

    try:
        ms.set_device("Ascend")
        x = ms.Tensor(np.ones((16, 16), np.float16))
        total = float(ms.ops.matmul(x, x).asnumpy().sum())
    except (RuntimeError, ValueError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise Missing(
            f"MindSpore {ms.__version__} reaches no Ascend device: {first}",
            f"MindSpore 2.9 for aarch64 or x86-64 beside CANN, with set_env.sh sourced, see {README}, step 3",
        ) from None
    if total != 16**3:
        raise RuntimeError(f"a product of ones sums up to {total}, {16**3} is expected")
    return {"device": "Ascend", "mindspore": ms.__version__}
