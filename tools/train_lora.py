"""Training as a job starts it: one process per device, from a code folder that need not be installed.

The arguments are those of `mindcold train` or ModelArts' (tools/modelarts): `--data_url`, `--train_url`. Several
processes, started by `msrun` or with a rank table, train one model together.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import code_folder

code_folder.use()

from mindcold.modelarts.boot import boot  # noqa: E402 - after the path is set

if __name__ == "__main__":
    sys.exit(boot("train", sys.argv[1:]))
