"""The proof's modules lie beside each other in a folder of tools, and need neither Triton nor a compiler for this."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tools" / "ascend"))
