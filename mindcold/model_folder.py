"""Where models and adapters are: folders, models in installed packages, and those that ship with mindcold."""

from pathlib import Path

from mindcold import values
from mindcold.errors import ModelError, one_line
from mindcold.model_zoo import path as shipped


def find_folder(name: str | Path) -> Path:
    """A folder as it is, else that of the model of this name.

    A model in an installed package is converted now if it was not before. ModelError names the known ones.
    """
    folder = values.path("folder", name, ModelError)
    try:
        if folder.exists():
            return folder
    except OSError as error:
        raise ModelError(f"{one_line(folder)}: {error.strerror or error}") from None
    from mindcold.convert import PACKAGES, resolve  # reading GGUF files takes a moment to import

    return resolve(str(name)) or shipped(str(name), also=tuple(PACKAGES))
