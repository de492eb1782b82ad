"""Write the golden parity fixtures; needs an interpreter with torch, transformers and peft.

.peer/bin/python tools/make_fixtures.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.parity.peer import CASES, make_case  # noqa: E402

for number, name in enumerate(CASES):
    make_case(name, 100 * number, ROOT / "tests" / "fixtures" / "parity" / name)
    print(name)
