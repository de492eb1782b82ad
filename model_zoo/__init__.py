"""Ready models that ship with mindcold, by name: folders with weights, a model card and the loss of their training."""

from pathlib import Path

from mindcold.errors import ModelError, one_line

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Names of the models and adapters that ship."""
    return sorted(
        path.parent.name for path in _HERE.glob("*/*config.json") if path.stem in ("config", "adapter_config")
    )


def path(name: str, also: tuple[str, ...] = ()) -> Path:
    """Folder of a shipped model or adapter; ModelError names the known ones, with others known elsewhere."""
    if name not in names():
        raise ModelError(
            f"{one_line(name)}: neither a folder nor one of the shipped models: {', '.join([*names(), *also])}"
        )
    return _HERE / name
