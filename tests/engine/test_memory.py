"""What a used model holds is given back: measured as the memory of a process of its own."""

import json
import subprocess
import sys

from tests.folders import LLAMA, write_adapter, write_model

SCRIPT = """
import ctypes, gc, json, sys
import psutil
import mindcold

model, adapters = sys.argv[1], sys.argv[2:]
trim, process = ctypes.CDLL(None).malloc_trim, psutil.Process()

def resident():
    gc.collect()
    trim(0)
    return process.memory_info().rss / 1e6

def use():
    llm = mindcold.load(model, adapters[0])
    llm.generate([5, 6, 7], "cold", max_new_tokens=3)
    llm.generate([5, 6, 7], "sample", max_new_tokens=3)

use()
use()
start = resident()
for _ in range(4):
    use()
loads = resident() - start
llm = mindcold.load(model, adapters[0])
llm.generate([5, 6, 7], "cold", max_new_tokens=3)
start = resident()
for i, path in enumerate(adapters[1:]):
    llm.add_adapter(f"a{i}", path)
    llm.generate([5, 6, 7], "cold", adapter=f"a{i}", max_new_tokens=3)
print(json.dumps({"loads": loads / 4, "adapters": (resident() - start) / (len(adapters) - 1)}))
"""


def test_a_used_model_gives_its_memory_back(tmp_path):
    """Weights of 67 MB with a cache of 17; what MindSpore loses at every compilation stays."""
    shape = {"vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4}
    model = write_model(tmp_path / "model", spread=0.05, **shape)
    paths = [write_adapter(tmp_path / f"a{i}", seed=i, model=LLAMA | shape) for i in range(5)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model), *map(str, paths)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-500:]
    grown = json.loads(done.stdout.splitlines()[-1])
    # 4 and 2; where graphs stay 92 and 7
    assert grown["loads"] < 20 and grown["adapters"] < 5, grown


MAPPED = """
import gc, sys
from pathlib import Path
import mindcold

llm = mindcold.load(sys.argv[1])
llm.generate([5, 6, 7], max_new_tokens=3)
def mapped():
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {line.split()[-1] for line in lines if "contrastive_score-" in line}
before = mapped()
del llm
gc.collect()
print(len(before), mapped() == before)
"""


def test_operators_stay_when_their_last_graph_goes(tmp_path):
    """MindSpore closes a library with its last graph, but the threads of the pool may run the code of any of them."""
    done = subprocess.run(
        [sys.executable, "-c", MAPPED, str(write_model(tmp_path / "model"))],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.splitlines()[-1] == "1 True"
