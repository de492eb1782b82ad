"""The packages: those of three folders, of which two are installed inside mindcold."""

from setuptools import find_packages, setup

FOLDERS = {"mindcold": "mindcold", "mindcold.ops": "ops", "mindcold.model_zoo": "model_zoo"}
"""Package to the folder it is kept in."""

setup(
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in (package, *(f"{package}.{inner}" for inner in find_packages(folder)))
    ],
    package_dir=FOLDERS,
)
