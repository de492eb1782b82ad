"""Batch inference on Ray: the records are those of `mindcold batch`, also when a worker is killed."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import pytest

from mindcold.cli import main
from mindcold.errors import BatchError
from mindcold.ray import RUNTIME_ENV, BatchPredictor
from tests.folders import write_adapter, write_model

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "batch_ray.py"

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'mindcold[ray]'"
)


def line(i, **body):
    tokens = {"prompt": [3 + i % 20, 5, 7 + i % 50], "max_tokens": 40 + i % 9, "model": ("poet", "model")[i % 2]}
    return {"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions", "body": tokens | body}


LINES = [
    *(line(i, decoding_method=("greedy", "cold")[i % 4 == 0]) for i in range(58)),
    line(3),  # its custom_id is taken
    line(60, temperature=0.9, seed=5, n=2),
    line(61, prompt=[999]),
    line(62, top_logprobs=4),
    [1],
    {"custom_id": "r63"},
]
GOOD = 59
RAW = "".join(json.dumps(item) + "\n" for item in LINES[:20]) + "\n{nonsense\n"
RAW += "".join(json.dumps(item) + "\n" for item in LINES[20:])


def read(path):
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def without_time(records):
    """Records but for when the job began."""
    for item in records:
        if item["response"]:
            del item["response"]["body"]["created"]
    return sorted(records, key=lambda item: item["id"])


def flags(folder, output):
    return [
        *("--model", str(folder / "model"), "--adapter", f"poet={folder / 'poet'}", "--dtype", "float32"),
        *("--input", str(folder / "in.jsonl"), "--output", str(output)),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model, adapter, input, and what `mindcold batch` makes of it."""
    folder = tmp_path_factory.mktemp("ray")
    write_model(folder / "model", seed=3)
    write_adapter(folder / "poet", seed=1)
    (folder / "in.jsonl").write_text(RAW, encoding="utf-8")
    assert main(["batch", *flags(folder, folder / "expected.jsonl")]) == 0
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    records = without_time(read(folder / "expected.jsonl"))
    assert len(records) == len(LINES) + 1 and sum(item["error"] is None for item in records) == GOOD
    return records


@pytest.fixture(scope="module")
def cluster():
    """A local Ray with room for two workers, which have nothing of this process's environment; its address."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        for name in RUNTIME_ENV["env_vars"]:  # a cluster's nodes do not have what MindSpore has set here
            patch.delenv(name, raising=False)
        ray.init(num_cpus=2, object_store_memory=200 << 20, include_dashboard=False, log_to_driver=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def batch_of(texts, first=1):
    return {"number": np.arange(first, first + len(texts)), "line": np.array(texts, object)}


def test_a_predictor_answers_batch_after_batch_as_the_command_does(folder, expected):
    predictor = BatchPredictor(str(folder / "model"), {"poet": str(folder / "poet")}, dtype="float32", max_batch=4)
    texts, found = RAW.splitlines(), []
    for start in range(0, len(texts), 20):  # one line is blank, which a file leaves out
        part = batch_of(texts[start : start + 20], start + 1)
        result = predictor(part)
        assert result["number"].tolist() == part["number"].tolist()
        found += [json.loads(text) for text in result["record"]]
        assert result["record"].shape == result["number"].shape
    repeated = "line 61: custom_id"  # of the file, not of a batch
    assert [item for item in expected if repeated in str(item["error"])]
    kept = {item["id"]: item for item in expected if repeated not in str(item["error"])}
    assert {item["id"]: item for item in without_time(found) if item["id"] in kept} == kept


def test_a_predictor_of_prompts(folder):
    predictor = BatchPredictor(str(folder / "model"), form="text", options={"max_new_tokens": 4}, created=7)
    record = json.loads(predictor(batch_of(["{nonsense"], 5))["record"][0])
    assert record["custom_id"] == "line-5" and "tokenizer" in record["error"]["message"]  # there is none


def test_columns_that_are_wrong_are_said(folder):
    with pytest.raises(BatchError, match="form: 'xml'"):
        BatchPredictor(str(folder / "model"), form="xml")
    predictor = BatchPredictor(str(folder / "model"))
    with pytest.raises(BatchError, match="columns number and line are expected, found text"):
        predictor({"text": np.array(["{}"], object)})
    for numbers in ([1, 1], [0, 1]):
        with pytest.raises(BatchError, match="numbers from 1 that differ"):
            predictor({"number": np.array(numbers), "line": np.array(["{}", "{}"], object)})
    assert predictor(batch_of([])).keys() == {"number", "record"}


def run_tool(arguments, **more):
    return subprocess.run([sys.executable, str(TOOL), *arguments], capture_output=True, text=True, timeout=120, **more)


def test_without_ray_there_is_one_line_that_says_how_to_get_it(folder, tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError('hidden')", encoding="utf-8")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = run_tool(flags(folder, tmp_path / "out.jsonl"), env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == 1
    assert done.stderr == "batch_ray: error: ray: not installed; run: pip install 'mindcold[ray]'\n"
    assert not list(tmp_path.glob("out*"))


def test_importing_the_predictor_imports_neither_ray_nor_mindspore():
    code = "import sys, mindcold, mindcold.ray; sys.exit(bool({'ray', 'mindspore'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@needs_ray
def test_where_mindspore_refuses_the_protobuf_of_ray_the_way_out_is_said(folder):
    if int(version("protobuf").split(".")[0]) < 4:
        pytest.skip("this protobuf is not refused")
    code = "import sys, ray, mindcold.ray; mindcold.ray.BatchPredictor(sys.argv[1])"
    kept = {name: value for name, value in os.environ.items() if name not in RUNTIME_ENV["env_vars"]}
    command = [sys.executable, "-c", code, str(folder / "model")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=kept)
    assert done.returncode and "give map_batches runtime_env=mindcold.ray.RUNTIME_ENV" in done.stderr


def workers():
    """Processes of this Ray that decode."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if any("BatchPredictor" in part for part in process.cmdline())]


@needs_ray
@pytest.mark.parametrize("killed", [False, True])
def test_two_workers_and_the_rows_of_a_killed_one(killed, cluster, folder, expected, tmp_path):
    output = tmp_path / "out.jsonl"
    more = ["--address", cluster, "--concurrency", "2", "--batch-size", "4", "--max-batch", "2", "--json"]
    command = [sys.executable, str(TOOL), *flags(folder, output), *more]
    part = output.with_name("out.jsonl.part-00000")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 90
            while not (part.exists() and b'"error": null' in part.read_bytes()):
                assert process.poll() is None and time.monotonic() < until, "no record"
                time.sleep(0.02)
            victims = workers()
            assert len(victims) == 2
            if killed:
                os.kill(victims[0].pid, signal.SIGKILL)
                assert len(read_whole(part)) < GOOD, "it was not killed in the middle"
            out, error = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, error
    found = read(output)
    assert [item["id"] for item in found] == [item["id"] for item in expected]  # in order, each once
    assert without_time(found) == expected
    assert json.loads(out)["done"] == len(expected) and not part.exists()


def read_whole(path):
    return [text for text in path.read_bytes().splitlines() if text.endswith(b"}")]


@needs_ray
def test_a_worker_that_cannot_load_ends_the_job_in_one_line(cluster, folder, tmp_path):
    broken = tmp_path / "broken"
    write_adapter(broken, peft_type="IA3")
    done = run_tool([*flags(folder, tmp_path / "out.jsonl"), "--adapter", f"broken={broken}", "--address", cluster])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]  # Ray has said things before
    assert last.startswith(f"batch_ray: error: {broken / 'adapter_config.json'}: peft_type: 'IA3'")


@needs_ray
def test_an_actor_answers_calls_that_come_in_threads(cluster, tmp_path):
    """Each as it is answered alone; one that ends by an error leaves the others and the actor as they are."""
    import ray

    model, adapter = write_model(tmp_path / "m", seed=3), write_adapter(tmp_path / "a", seed=3)

    class Answers:
        def __init__(self):
            import mindcold

            self.llm = mindcold.load(model, adapter)

        def answer(self, prompt, method):
            return self.llm.generate(prompt, method, max_new_tokens=16).token_ids

        def left(self):
            return self.llm.engine.used_slots

    calls = [([5, 9, 33], "cold"), ([7], "beam"), ([1, 2] * 9, "aded"), ([5], "no such method")] * 4
    actor = ray.remote(Answers).options(max_concurrency=4, runtime_env=RUNTIME_ENV).remote()
    alone = [ray.get(actor.answer.remote(*call)) for call in calls[:3]]
    for i, answer in enumerate([actor.answer.remote(*call) for call in calls]):
        if i % 4 < 3:
            assert ray.get(answer, timeout=300) == alone[i % 4]
        else:
            with pytest.raises(Exception, match="method: 'no such method' is not one of"):
                ray.get(answer, timeout=300)
    assert ray.get(actor.left.remote()) == 0
