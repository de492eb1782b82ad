"""Where models and adapters are: folders, models in installed packages, and those that ship with mindcold."""

from pathlib import Path

from mindcold.model_zoo import path as shipped


def find_folder(name: str | Path) -> Path:
    """A folder as it is, else that of the model of this name.

    A model in an installed package is converted now if it was not before. ModelError names the known ones.
    """
    folder = Path(name)
    if folder.exists():
        return folder
    from mindcold.convert import PACKAGES, resolve  # reading GGUF files takes a moment to import

    return resolve(str(name)) or shipped(str(name), also=tuple(PACKAGES))
