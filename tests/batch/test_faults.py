"""Kills, signals, full disks: nothing that was done is lost, nothing is done twice."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import pytest

from tests.batch.jobs import answers, command, environment, model, read_lines, request, requests, run, write_lines

KILLS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    model(folder)
    return folder / "model"


def whole_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def start(arguments, **more):
    return subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(**more)
    )


def wait_for(process, path, count, timeout=90.0):
    """Until a file has so many lines; whether the process still runs then."""
    end = time.monotonic() + timeout
    while whole_lines(path) < count and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    assert time.monotonic() < end
    return process.poll() is None


def test_a_job_killed_thirty_times_gives_what_an_undisturbed_one_gives(folder, tmp_path):
    count = 4 * KILLS
    source, undisturbed, output = write_lines(tmp_path / "in.jsonl", requests(count)), tmp_path / "1", tmp_path / "2"
    assert run(command(folder, source, undisturbed)).returncode == 0
    kills, rng = 0, random.Random(5)
    while kills < KILLS:
        before = whole_lines(output)
        process = start(command(folder, source, output, "--max-batch", "3"))
        if wait_for(process, output, min(before + rng.randrange(4), count)):
            time.sleep(rng.random() * 0.03)
            process.kill()
        process.communicate(timeout=60)
        kills += 1
        if process.returncode == 0:
            break  # done before all kills were spent
        assert process.returncode == -signal.SIGKILL
        assert whole_lines(output) >= before
    assert kills > KILLS // 2
    ended = run(command(folder, source, output, "--max-batch", "3"))
    assert ended.returncode == 0, ended.stderr
    assert answers(output) == answers(undisturbed) and len(read_lines(output)) == count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_has_begun_and_says_run_me_again(folder, tmp_path, number):
    source, output = write_lines(tmp_path / "in.jsonl", requests(400)), tmp_path / "out"
    process = start(command(folder, source, output, "--json"))
    assert wait_for(process, output, 5)
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 75, error
    summary = json.loads(out)
    assert summary["stopped"] and summary["done"] == len(read_lines(output)) < 400
    assert "run the same command again" in error
    assert not [item for item in read_lines(output) if item["error"]]


def test_requests_that_run_when_the_signal_comes_are_finished(folder, tmp_path):
    lines = [request(f"r{i}", prompt=[5 + i], max_tokens=200, suppress_tokens=[2]) for i in range(8)]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out"
    process = start(command(folder, source, output, "--max-batch", "2"))
    assert wait_for(process, output, 2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 75
    assert [len(item["response"]["body"]["choices"][0]["token_ids"]) for item in read_lines(output)] in (
        [200] * 2,
        [200] * 4,
    )


def test_a_file_that_may_not_grow_is_one_line_and_the_job_goes_on(folder, tmp_path):
    """The disk says no in the middle of a record, here by a limit on the size of files."""
    source, output, other = write_lines(tmp_path / "in.jsonl", requests(30)), tmp_path / "out", tmp_path / "other"
    limit = 4000

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    # what is compiled has to be there already, for it is larger
    assert run(command(folder, source, other)).returncode == 0
    ended = run(command(folder, source, output), preexec_fn=limited)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith("what was written before is safe, run the same command again")
    assert "File too large" in ended.stderr and "Traceback" not in ended.stderr
    kept = read_lines(output)
    assert 0 < len(kept) < 30 and output.stat().st_size <= limit
    assert run(command(folder, source, output)).returncode == 0
    assert answers(output) == answers(other)


def test_a_full_disk_is_one_line_and_the_job_goes_on(folder, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or not mount or run([mount, "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        source, output = write_lines(tmp_path / "in.jsonl", requests(60)), disk / "out"
        ended = run(command(folder, source, output))
        assert ended.returncode == 1 and "No space left on device" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert 0 < len(read_lines(output)) < 60
        assert run([mount, "-o", "remount,size=1m", str(disk)]).returncode == 0
        assert run(command(folder, source, output)).returncode == 0
        assert len(read_lines(output)) == 60
    finally:
        run(["umount", str(disk)])


def test_an_adapter_that_vanishes_is_said_when_the_job_goes_on(folder, tmp_path):
    source, output = write_lines(tmp_path / "in.jsonl", requests(3)), tmp_path / "out"
    ended = run(command(folder, source, output, "--adapter", f"poet={tmp_path / 'gone'}"))
    assert ended.returncode == 1 and "gone" in ended.stderr and len(ended.stderr.splitlines()) == 1
    assert not output.exists()
