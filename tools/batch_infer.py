"""Batch inference as a job starts it: one process per device, from a code folder that need not be installed.

`msrun --worker_num=N --local_worker_num=N tools/batch_infer.py ...` and ModelArts' start per card run this file once a
process; the arguments are those of `mindcold batch`, and the environment says which share of the input is whose.
"""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _use_folder() -> None:
    """Make the mindcold of the folder around this file importable, with `ops` and `model_zoo` in it."""
    sys.path.insert(0, str(ROOT))
    for name in ("ops", "model_zoo"):
        folder = ROOT / name
        spec = spec_from_file_location(
            f"mindcold.{name}", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec and spec.loader
        module = module_from_spec(spec)
        sys.modules[f"mindcold.{name}"] = module
        spec.loader.exec_module(module)


if find_spec("mindcold") is None:
    _use_folder()

from mindcold.cli import main  # noqa: E402 - after the path is set

if __name__ == "__main__":
    sys.exit(main(["batch", *sys.argv[1:]]))
