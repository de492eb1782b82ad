"""The scripts that measure other programs: how they are asked, and what is said when they fail."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from mindcold.config import parse_config
from mindcold.errors import RequestError
from mindcold.model.weights import weight_shapes
from tests.folders import LLAMA

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "bench"


def script(name):
    """A script as a module, its neighbours in reach as when it is run."""
    spec = importlib.util.spec_from_file_location(f"tools_bench_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(TOOLS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(TOOLS))
    return module


Baseline = script("baseline").Baseline


def program(folder, text):
    file = folder / "program.py"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_program_is_asked_line_by_line(tmp_path):
    file = program(
        tmp_path,
        "import sys\nprint('ready', flush=True)\n"
        "for line in sys.stdin: print(float(sys.argv[1]) * float(line), flush=True)",
    )
    baseline = Baseline(sys.executable, file, 2)
    try:
        assert [baseline.measure("3"), baseline.measure("0.5")] == [6.0, 1.0]
    finally:
        baseline.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise SystemExit('no such thing')", "program.py: no such thing"),
        ("import nothing_like_it", "program.py: ModuleNotFoundError"),
        ("print('hello')", "program.py: no answer"),
    ],
)
def test_a_program_that_ends_is_named_with_its_last_words(tmp_path, text, message):
    with pytest.raises(RequestError, match=message):
        Baseline(sys.executable, program(tmp_path, text))


def test_a_program_that_ends_between_requests_is_named(tmp_path):
    file = program(tmp_path, "print('ready', flush=True)\nraise SystemExit('out of memory')")
    baseline = Baseline(sys.executable, file)
    baseline._process.wait(timeout=30)
    with pytest.raises(RequestError, match=r"program\.py: out of memory"):
        baseline.measure("1")


def test_no_interpreter_is_one_line():
    command = [sys.executable, str(TOOLS / "compare.py"), "--rounds", "1", "--peer", "/no/python"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stdout == ""
    assert (
        done.stderr.splitlines()[-1]
        == "compare: error: /no/python: No such file or directory; an interpreter is expected"
    )


def test_pictures_ask_for_matplotlib_before_anything_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RequestError, match="--picture: needs matplotlib; pip install matplotlib"):
        script("pictures").require_matplotlib()


LIBRARIES = """
import os, sys, types
import numpy as np

class Logits(np.ndarray):
    def float(self):
        return self

class Model:
    def __init__(self, inner=None):
        self.inner, self.config = inner, types.SimpleNamespace(vocab_size=9)
    def eval(self): return self
    def to(self, kind): return self
    def disable_adapter(self):
        print("adapter off", file=sys.stderr)
        return self
    def __enter__(self): ...
    def __exit__(self, *_): ...
    def __call__(self, **_):
        print("peft" if self.inner else "plain", file=sys.stderr)
        return types.SimpleNamespace(logits=np.eye(1, 9)[None].view(Logits), past_key_values=None)

class Generator:
    def manual_seed(self, seed): return self

class inference_mode:
    def __enter__(self): ...
    def __exit__(self, *_): ...

def randint(low, high, shape, generator): return np.full(shape, low)
def set_num_threads(count): ...
float32, where, tensor = "float32", np.where, np.array
class AutoModelForCausalLM:
    from_pretrained = staticmethod(lambda folder, dtype: Model())
class PeftModel:
    from_pretrained = staticmethod(lambda model, adapter: Model(model))
"""


@pytest.mark.parametrize(("copies", "base"), [("2", ["plain"]), ("1", ["adapter off", "peft"])])
def test_the_base_of_the_peer_runs_without_peft(tmp_path, copies, base):
    """Unless memory has no room for two: then its adapter is switched off at every token, which takes time."""
    for name in ("torch", "peft", "transformers"):
        (tmp_path / f"{name}.py").write_text(LIBRARIES, encoding="utf-8")
    command = [sys.executable, str(TOOLS / "transformers_peer.py"), "model", "adapter", "float32", "4", "3", copies]
    for request, passes in (("greedy", base), ("lora", ["peft"]), ("cold", ["peft", *base])):
        done = subprocess.run(
            command,
            input=f"{request}\n",
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == 0 and done.stderr.split("\n")[:-1] == passes * 3, done.stderr[-500:]


@pytest.mark.parametrize("name", ["compare", "drafts", "lookahead"])
def test_a_picture_that_cannot_be_drawn_ends_it_before_anything_is_measured(name, monkeypatch, capsys):
    module, measured = script(name), []
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setattr(module, "measure" if name == "compare" else "load", lambda *_: measured.append(1))
    monkeypatch.setattr(sys, "argv", [name, "--picture", "steps.png"])
    assert module.main() == 1 and not measured
    assert capsys.readouterr().err == f"{name}: error: --picture: needs matplotlib; pip install matplotlib\n"


def test_the_faster_dtype_of_a_peer_is_compared():
    times = {"peer float32 CoLD": [6.0], "peer bfloat16 CoLD": [9.0], "int8 CoLD": [2.0], "int8 step 1 rows": [1.0]}
    times |= {"int8 step 16 rows": [4.0], "int8 read": [0.5], "int8 score": [0.1]}
    found = {row["figure"]: row["ratio"] for row in script("compare").ratios(times)}
    assert found["peer float32 CoLD / int8 CoLD"] == 3.0 and "peer bfloat16 CoLD / int8 CoLD" not in found
    assert found["int8 step 16 rows / 1 row"] == 4.0 and found["int8 step 1 rows / reading the weights"] == 2.0
    assert found["int8 scoring / CoLD"] == 0.05


def test_weights_reach_gguf_unchanged(tmp_path):
    gguf = pytest.importorskip("gguf")
    raw = LLAMA | {"rope_theta": 10000.0}
    shapes = weight_shapes(parse_config(raw, "test"))
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for name, shape in shapes.items()}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    script("llama_cpp_peer").convert(tmp_path, tmp_path / "model.gguf")
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert len(found) == len(weights)
    down = weights["model.layers.1.mlp.down_proj.weight"]
    assert found["blk.1.ffn_down.weight"].data.tobytes() == down.tobytes()
    norm = weights["model.norm.weight"].astype(np.float32)
    assert (found["output_norm.weight"].data == norm).all()
