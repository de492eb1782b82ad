"""Batch inference as a job starts it: one process per device, from a code folder that need not be installed.

`msrun --worker_num=N --local_worker_num=N tools/batch_infer.py ...` and ModelArts' start per card run this file once a
process; the arguments are those of `mindcold batch` or ModelArts' (tools/modelarts), and the environment says which
share of the input is whose.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import code_folder

code_folder.use()

from mindcold.modelarts.boot import boot  # noqa: E402 - after the path is set

if __name__ == "__main__":
    sys.exit(boot("batch", sys.argv[1:]))
