"""Several processes: shares, parts, and joining them in the order of the input."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mindcold.cli import main
from tests.batch.jobs import ROOT, answers, environment, model, read_lines, requests, run, write_lines

SCRIPT = ROOT / "tools" / "batch_infer.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    model(folder)
    return folder / "model"


@pytest.fixture
def job(folder, tmp_path, monkeypatch):
    """Runs one process of a job."""
    source, output = write_lines(tmp_path / "in.jsonl", [*requests(14), b"{torn", *requests(15)[14:]]), tmp_path / "out"

    def run_rank(number=0, size=1, *more, path=output):
        monkeypatch.setenv("RANK_ID", str(number))
        monkeypatch.setenv("RANK_SIZE", str(size))
        return main(["batch", "--model", str(folder), "--input", str(source), "--output", str(path), *more])

    run_rank.output = output
    run_rank.parts = lambda: sorted(path.name for path in tmp_path.glob("out*") if "manifest" not in path.name)
    return run_rank


def test_the_last_to_finish_joins_the_parts_in_order(job, tmp_path):
    assert job(1, 2) == 0
    assert job.parts() == ["out.part-00001"]
    assert job(0, 2) == 0
    assert job.parts() == ["out"]
    assert [int(item["id"].split("_")[2]) for item in read_lines(job.output)] == list(range(1, 17))
    assert job(path=tmp_path / "alone") == 0
    assert answers(tmp_path / "alone") == answers(job.output)


def test_a_job_goes_on_with_another_number_of_processes(job):
    assert job(1, 3) == 0
    part = job.output.with_name("out.part-00001")
    part.write_bytes(part.read_bytes()[:-20])  # killed in the middle of a record
    before = read_lines(job.output.with_name("out.part-00001")) if part.read_bytes().endswith(b"\n") else None
    assert before is None
    assert job(0, 2) == 0 and job(1, 2) == 0
    assert job.parts() == ["out"] and len(answers(job.output)) == 16


def test_one_process_takes_up_what_several_began(job, capsys):
    assert job(0, 2) == 0
    assert job(0, 1, "--merge") == 1
    assert "not all lines are done" in capsys.readouterr().err
    assert job() == 0
    assert job.parts() == ["out"] and len(answers(job.output)) == 16


def test_restart_is_for_one_process(job, capsys):
    assert job(0, 2, "--restart") == 1
    assert "--restart: not under several processes" in capsys.readouterr().err


def test_msrun_with_two_workers(folder, tmp_path):
    source, output = write_lines(tmp_path / "in.jsonl", requests(12)), tmp_path / "out"
    programs = Path(sys.executable).parent  # msrun starts the `python` of the PATH
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    arguments = ["--model", str(folder), "--input", str(source), "--output", str(output)]
    launch = [str(programs / "msrun"), "--worker_num=2", "--local_worker_num=2", "--join=True"]
    launch.append(f"--log_dir={tmp_path / 'log'}")
    ended = run([*launch, str(SCRIPT), *arguments], cwd=tmp_path, PATH=path)
    logs = "".join(path.read_text() for path in sorted((tmp_path / "log").glob("*.log")))
    assert ended.returncode == 0 and "Traceback" not in logs, ended.stdout + ended.stderr + logs
    assert [item["custom_id"] for item in read_lines(output)] == [f"r{i}" for i in range(12)]
    assert "0 of 6 lines are done" in logs


def test_it_runs_from_a_folder_that_is_not_installed(folder, tmp_path):
    """As in a ModelArts job: the code folder is copied and read-only, and nothing is written into it."""
    code = tmp_path / "code"
    for name in ("mindcold", "ops", "model_zoo/__init__.py", "tools/batch_infer.py", "tools/code_folder.py"):
        target = code / name
        target.parent.mkdir(parents=True, exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__")
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=ignore)
        else:
            shutil.copy(ROOT / name, target)
    source, output = write_lines(tmp_path / "in.jsonl", requests(4)), tmp_path / "out"
    hidden = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in str(f).lower()]; "
    hidden += f"sys.path = [p for p in sys.path if p not in ('', {str(ROOT)!r})]; import runpy; "
    hidden += f"sys.argv = [{str(code / 'tools' / 'batch_infer.py')!r}] + sys.argv[1:]; "
    hidden += "runpy.run_path(sys.argv[0], run_name='__main__')"
    arguments = ["--model", str(folder), "--input", str(source), "--output", str(output)]
    env = environment(PYTHONDONTWRITEBYTECODE="1")
    env.pop("PYTHONPATH")
    before = sorted(path.relative_to(code) for path in code.rglob("*"))
    ended = subprocess.run(
        [sys.executable, "-c", hidden, *arguments], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert len(read_lines(output)) == 4
    assert sorted(path.relative_to(code) for path in code.rglob("*")) == before
