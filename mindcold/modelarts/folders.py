"""Files of a job in the folders that ModelArts gives it."""

from pathlib import Path

from mindcold.errors import JobError

DATA = (".jsonl", ".txt")
TRAIN = ("train",)
HELD_OUT = ("dev", "validation", "valid", "eval", "held_out")


def training_file(path: Path) -> Path:
    """The file to train on: the path itself, train.jsonl or train.txt of a folder, or the only such file in it."""
    found = _named(path, TRAIN) if path.is_dir() else path
    return found or only_file(path, leave_out=HELD_OUT)


def held_out_file(path: Path) -> Path | None:
    """The file to evaluate on that lies beside the training file in a folder, such as dev.jsonl; None without one."""
    return _named(path, HELD_OUT) if path.is_dir() else None


def only_file(path: Path, leave_out: tuple[str, ...] = ()) -> Path:
    """The path itself if it is no folder, else the only .jsonl or .txt file in it; JobError for none or several."""
    if not path.is_dir():
        return path
    files = sorted(item for item in path.iterdir() if item.suffix in DATA and item.stem not in leave_out)
    if len(files) != 1:
        names = ", ".join(item.name for item in files[:5]) or "none"
        raise JobError(f"{path}: one {' or '.join(DATA)} file is expected, found {names}; name the file itself")
    return files[0]


def model_folder(path: Path) -> Path:
    """The folder with config.json or adapter_config.json: the path, or the only one of its folders that has it."""
    names = ("config.json", "adapter_config.json")
    if not path.is_dir() or any((path / name).is_file() for name in names):
        return path
    found = [item for item in sorted(path.iterdir()) if any((item / name).is_file() for name in names)]
    return found[0] if len(found) == 1 else path


def _named(path: Path, stems: tuple[str, ...]) -> Path | None:
    return next((item for stem in stems for end in DATA if (item := path / f"{stem}{end}").is_file()), None)
