"""Other programs beside mindcold: how they are asked, what is said when they fail, what their answers come to."""

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

from mindcold.bench import gguf_copy, peers, pictures
from mindcold.bench.baseline import Baseline
from mindcold.bench.report import bound_rows, bounds, context_rows
from mindcold.cli import main
from mindcold.config import parse_config
from mindcold.convert.row_order import to_halves
from mindcold.errors import RequestError
from mindcold.model.weights import weight_shapes
from tests.folders import LLAMA

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "bench"


def script(name):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"tools_bench_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def program(folder, text):
    file = folder / "program.py"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_program_is_asked_line_by_line(tmp_path):
    file = program(
        tmp_path,
        "import json, sys\nprint('ready', flush=True)\n"
        "for line in sys.stdin: print(json.dumps({'ms': float(sys.argv[1]) * json.loads(line)['new']}), flush=True)",
    )
    baseline = Baseline(sys.executable, file, 2)
    try:
        assert [baseline.ask(new=3), baseline.ask(new=0.5)] == [{"ms": 6.0}, {"ms": 1.0}]
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
        baseline.ask(task="greedy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peer", "/no/python"], "/no/python: No such file or directory; an interpreter is expected"),
        (["peers", "--llama", "/no/python"], "/no/python: No such file or directory; an interpreter is expected"),
        (["peers"], "--peer or --llama: the interpreter of another program is expected"),
        (["--rounds", "2", "steps"], "--rounds: goes after steps"),
    ],
)
def test_what_cannot_be_compared_is_one_line(arguments, message, capsys):
    assert main(["bench", *arguments]) == 1
    found = capsys.readouterr()
    assert found.out == "" and found.err.splitlines()[-1] == f"mindcold bench: error: {message}"


def test_pictures_ask_for_matplotlib_before_anything_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RequestError, match="--picture: needs matplotlib; pip install matplotlib"):
        pictures.require_matplotlib()


LIBRARIES = """
import os, sys, types
import numpy as np

class Logits(np.ndarray):
    def float(self):
        return self

class Past:
    def crop(self, size): ...

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
        return types.SimpleNamespace(logits=np.eye(1, 9)[None].view(Logits), past_key_values=Past())

class inference_mode:
    def __enter__(self): ...
    def __exit__(self, *_): ...

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
    command = [sys.executable, str(peers.HERE / "transformers_peer.py"), "model", "adapter", "float32", copies]
    for task, passes in (("greedy", base), ("lora", ["peft"]), ("cold", ["peft", *base])):
        done = subprocess.run(
            command,
            input=json.dumps({"task": task, "ids": [4, 5], "new": 3}) + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == 0 and done.stderr.split("\n")[:-1] == passes * 3, done.stderr[-500:]
        assert json.loads(done.stdout.splitlines()[1])["tokens"] == [0, 0, 0]


@pytest.mark.parametrize("name", ["drafts", "lookahead"])
def test_a_picture_that_cannot_be_drawn_ends_it_before_anything_is_measured(name, monkeypatch, capsys):
    module, measured = script(name), []
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(module, "load", lambda *_: measured.append(1))
    monkeypatch.setattr(sys, "argv", [name, "--picture", "steps.png"])
    assert module.main() == 1 and not measured
    assert capsys.readouterr().err == f"{name}: error: --picture: needs matplotlib; pip install matplotlib\n"


@pytest.mark.parametrize(
    ("package", "flags", "message"),
    [
        ("matplotlib", ["--picture", "a.png", "--peer", "python"], "--picture: needs matplotlib"),
        ("gguf", ["--llama", "python"], "--llama: needs gguf; pip install gguf"),
    ],
)
def test_a_missing_package_ends_it_before_anything_is_measured(package, flags, message, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(peers, "measure", None)
    assert main(["bench", *flags]) == 1 and message in capsys.readouterr().err


def test_the_faster_dtype_of_a_peer_is_compared():
    times = {"peer float32 CoLD": [6.0], "peer bfloat16 CoLD": [9.0], "int8 CoLD": [2.0], "int8 step 1 rows": [1.0]}
    times |= {"int8 step 16 rows": [4.0], "int8 read": [0.5], "int8 score": [0.1], "llama.cpp step 16 rows": [2.0]}
    found = {row["figure"]: row["ratio"] for row in peers.ratios(times)}
    assert found["peer float32 CoLD / int8 CoLD"] == 3.0 and "peer bfloat16 CoLD / int8 CoLD" not in found
    assert found["int8 step 16 rows / 1 row"] == 4.0 and found["int8 step 1 rows / reading the weights"] == 2.0
    assert found["int8 scoring / CoLD"] == 0.05 and found["llama.cpp step 16 rows / int8 step 16 rows"] == 0.5


def test_equal_tokens_are_counted_beside_the_same_dtype_or_all():
    tokens = {"peer bfloat16 CoLD": [1, 2, 3], "llama.cpp base greedy": [1, 2, 3]}
    tokens |= {"bfloat16 CoLD": [1, 2, 4], "int8 CoLD": [1, 1, 1], "int8 base greedy": [1, 2, 3]}
    found = [(row["generation"], row["beside"], row["tokens"], row["equal"]) for row in peers.agreement(tokens)]
    assert found == [
        ("peer bfloat16 CoLD", "bfloat16 CoLD", 3, 2),
        ("llama.cpp base greedy", "int8 base greedy", 3, 3),
    ]


def test_a_long_context_is_compared_with_reading_its_keys():
    times = {"int8 read": [1.0], "int8 step 1 rows": [2.0], "int8 step at 512": [6.0], "int8 KV of 512": [1.0]}
    (row,) = context_rows(times, [512], 64)
    assert row["figure"] == "int8 step at 512 / (step at 64 + reading the KV)" and row["ratio"] == 2.0


def test_a_step_is_compared_with_what_it_takes_at_least():
    times = {"int8 read": [1.0, 2.0], "int8 multiply": [0.5, 0.5], "int8 step 1 rows": [2.0, 3.0]}
    times |= {"int8 step 16 rows": [16.0, 12.0], "llama.cpp step 16 rows": [9.0, 9.0]}
    assert bounds(times) == {"int8 step 1 rows": [1.0, 2.0], "int8 step 16 rows": [8.0, 8.0]}
    found = {row["figure"]: row["ratio"] for row in bound_rows(times)}
    assert found == {"int8 step 1 rows / bound": 1.75, "int8 step 16 rows / bound": 1.75}


def test_weights_reach_gguf_unchanged(tmp_path):
    gguf = pytest.importorskip("gguf")
    raw = LLAMA | {"rope_theta": 10000.0}
    shapes = weight_shapes(parse_config(raw, "test"))
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape).astype(ml_dtypes.bfloat16) for name, shape in shapes.items()}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    gguf_copy.write(tmp_path, tmp_path / "model.gguf")
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert len(found) == len(weights)
    down = weights["model.layers.1.mlp.down_proj.weight"]
    assert found["blk.1.ffn_down.weight"].data.tobytes() == down.tobytes()
    norm = weights["model.norm.weight"].astype(np.float32)
    assert (found["output_norm.weight"].data == norm).all()
    query = weights["model.layers.0.self_attn.q_proj.weight"]
    halves = found["blk.0.attn_q.weight"].data.view(np.uint16).reshape(query.shape)
    assert (to_halves(halves, raw["num_attention_heads"]) == query.view(np.uint16)).all()


def test_slowed_rotary_frequencies_are_written():
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope["original_max_position_embeddings"] = 64
    slowed = gguf_copy.slowed_by(parse_config(LLAMA | {"rope_theta": 10000.0, "rope_scaling": rope}, "test"))
    assert slowed[0] == 1 and slowed[-1] == 8
    assert (gguf_copy.slowed_by(parse_config(LLAMA, "test")) == 1).all()
