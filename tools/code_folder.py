"""Boot files run from a code folder that was copied and need not be installed."""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def use() -> None:
    """Make the mindcold around this file importable, with `ops` and `model_zoo` in it, where none is installed."""
    if find_spec("mindcold") is not None:
        return
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
