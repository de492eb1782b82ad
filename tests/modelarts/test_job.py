"""Jobs imitated: environment, folders, a read-only code folder that is not installed, pre-emption, two processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mindcold.adapter_formats import read_adapter
from mindcold.config import ModelConfig
from tests.folders import write_model

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [
    "--lora_rank=2",
    "--target_modules=all-linear",
    "--batch_size=2",
    "--sequence_length=16",
    "--use_rslora=True",
]


def lines(first, last):
    return "\n".join(json.dumps({"prompt": f"{i} + 1?", "completion": f" {i + 1}"}) for i in range(first, last))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """What the platform has downloaded: data and model folders."""
    folder = tmp_path_factory.mktemp("inputs")
    write_model(folder / "model" / "base", vocab_size=2048, num_hidden_layers=1, tie_word_embeddings=True)
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(ROOT / "model_zoo" / "tiny-base" / name, folder / "model" / "base")
    (folder / "data").mkdir()
    (folder / "data" / "train.jsonl").write_text(lines(0, 16), encoding="utf-8")
    (folder / "data" / "dev.jsonl").write_text(lines(16, 20), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """The code folder as the platform copies it: nobody may write into it."""
    code = tmp_path_factory.mktemp("job") / "mindcold"
    for name in ("mindcold", "ops", "model_zoo/__init__.py", "tools/train_lora.py", "tools/batch_infer.py"):
        target = code / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    shutil.copy(ROOT / "tools" / "code_folder.py", code / "tools")
    shutil.copy(ROOT / "requirements.txt", code)
    listing = {path: path.stat().st_mtime_ns for path in (code, *code.rglob("*"))}
    for path in (*code.rglob("*"), code):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield code
    assert {path: path.stat().st_mtime_ns for path in (code, *code.rglob("*"))} == listing
    for path in (code, *code.rglob("*")):
        path.chmod(0o755)


def environment(tmp_path, **more):
    """That of a job: home and working folder are not for writing."""
    home = tmp_path / "ma-user"
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("RANK_", "MS_", "XDG_", "MINDCOLD_"))
    }
    kept |= {"HOME": str(home), "TMPDIR": str(home / "tmp"), "MA_JOB_DIR": str(home), "MA_LOG_DIR": str(home / "log")}
    kept |= {"MA_NUM_HOSTS": "1", "VC_TASK_INDEX": "0", "VC_WORKER_NUM": "1", "MA_HOME": str(home)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | more


def hidden(script):
    """An interpreter that does not see an installed mindcold, running a boot file."""
    return [
        *(sys.executable, "-c"),
        "import runpy, sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]; "
        f"sys.path = [p for p in sys.path if p not in ('', {str(ROOT)!r})]; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')",
        str(script),
    ]


def start(command, env, cwd):
    return subprocess.Popen(command, env=env, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process):
    out, error = process.communicate(timeout=240)
    return process.returncode, out + error


def test_a_job_that_is_preempted_and_started_again(code, inputs, tmp_path):
    output, env = tmp_path / "output", environment(tmp_path)
    output.mkdir()
    home = tmp_path / "ma-user"
    command = [*hidden(code / "tools" / "train_lora.py"), f"--data_url={inputs / 'data'}", f"--train_url={output}"]
    command += [f"--model_url={inputs / 'model'}", *SETTINGS, "--steps=40", "--save_every=50", "--some_card=8"]
    process = start(command, env, home)
    log = output / "run" / "loss.jsonl"
    limit = time.monotonic() + 240
    while not (log.is_file() and log.read_text(encoding="utf-8").count("\n") >= 3):
        assert process.poll() is None and time.monotonic() < limit, end(process)
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    status, text = end(process)
    assert status == 75, text
    assert "warning: --some_card: not a parameter" in text and "Traceback" not in text
    assert not (output / "adapter_config.json").exists()
    status, text = end(start(command, env, home))
    assert status == 0, text
    assert len(read_adapter(output, ModelConfig.from_folder(inputs / "model" / "base")).pairs) == 7
    found = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [item["step"] for item in found if "loss" in item] == list(range(1, 41))
    assert any("held_out_loss" in item for item in found)  # dev.jsonl lies beside train.jsonl
    left = [path for path in home.rglob("*") if path.is_file()]
    assert not left  # nothing outside of the output folder

    answers = tmp_path / "answers"
    (tmp_path / "ask").mkdir()
    (tmp_path / "ask" / "prompts.txt").write_text("1 + 1?\n2 + 1?\n", encoding="utf-8")
    command = [*hidden(code / "tools" / "batch_infer.py"), f"--model_url={inputs / 'model'}", "--max_new_tokens=4"]
    env |= {"data_url": str(tmp_path / "ask"), "output_url": str(answers), "adapter_url": str(output)}
    status, text = end(start(command, env, home))
    assert status == 0, text
    responses = (answers / "responses.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(responses) == 2 and all(json.loads(item)["error"] is None for item in responses)
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_two_processes_give_the_losses_of_one_with_twice_the_accumulation(inputs, tmp_path):
    arguments = [f"--data_url={inputs / 'data'}", f"--model_url={inputs / 'model'}", *SETTINGS, "--steps=8"]
    arguments += ["--evaluate_every=4", "--lora_dropout=0.1"]
    script, env = str(ROOT / "tools" / "train_lora.py"), environment(tmp_path, PYTHONPATH=str(ROOT))
    launch = [str(Path(sys.executable).parent / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    launch += [f"--log_dir={tmp_path / 'log'}", script, *arguments, f"--train_url={tmp_path / 'two'}"]
    status, text = end(start(launch, env, tmp_path))
    logs = "".join(path.read_text() for path in sorted((tmp_path / "log").glob("*.log")))
    assert status == 0 and "Traceback" not in logs, text + logs
    status, text = end(
        start(
            [sys.executable, script, *arguments, "--accumulation=2", f"--train_url={tmp_path / 'one'}"], env, tmp_path
        )
    )
    assert status == 0, text
    found = []
    for name in ("one", "two"):
        log = (tmp_path / name / "run" / "loss.jsonl").read_text(encoding="utf-8").splitlines()
        found.append([item.get("loss", item.get("held_out_loss")) for item in map(json.loads, log)])
    assert len(found[0]) == 10
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-4, err_msg=name)


def test_a_rank_table_without_the_devices_is_one_line(inputs, tmp_path):
    env = environment(tmp_path, PYTHONPATH=str(ROOT), RANK_ID="0", RANK_SIZE="2", RANK_TABLE_FILE="table.json")
    command = [sys.executable, str(ROOT / "tools" / "train_lora.py"), f"--data_url={inputs / 'data'}"]
    status, text = end(start([*command, f"--train_url={tmp_path / 'out'}", "--model=tiny-base"], env, tmp_path))
    assert status == 1 and "RANK_SIZE: several processes on CPU have to be started by msrun" in text


def test_what_cannot_start_is_one_line(inputs, tmp_path, monkeypatch, capsys):
    from mindcold.modelarts.boot import boot

    monkeypatch.chdir(tmp_path)
    assert boot("train", ["--data_url=obs://bucket/x"]) == 1
    (tmp_path / "file").touch()
    assert boot("train", [f"--train_url={tmp_path / 'file'}", f"--data_url={inputs / 'data'}"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(line.startswith("mindcold train: error: --") for line in errors)
