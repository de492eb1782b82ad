"""What a case has to keep to, broken one by one."""

import gc
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from mindcold.errors import RequestError
from tests.fuzz import corpus


def write(case):
    Path("left").write_text("x")


def leave(case):
    tempfile.mkdtemp()


def fail(case):
    raise ValueError("why")


def refuse(case):
    raise RequestError(case)


def panic(case):
    raise BaseException("panicked")


def sleep(case):
    time.sleep(0.3)


def loop(case):
    while True:
        pass


def allocate(case):
    gc.collect()
    np.ones(case, np.uint8)


@pytest.mark.parametrize(
    ("run", "case", "verdict", "why"),
    [
        (len, "x", "accepted", ""),
        (refuse, "x: not a number", "refused", "x: not a number"),
        (refuse, "x\ny", "failed", "not one line"),
        (refuse, "x\x1b[2J", "failed", "not one line"),
        (refuse, "", "failed", "not one line"),
        (refuse, "x" * 2000, "failed", "2000 characters"),
        (fail, None, "failed", "ValueError: why"),
        (panic, None, "failed", "BaseException: panicked"),
        (write, None, "failed", r"wrote \['left'\]"),
        (leave, None, "failed", "wrote"),
        (sleep, None, "failed", "took 0.3 s"),
        (loop, None, "failed", "took more than 0.4 s"),
        (allocate, 400_000_000, "failed", "took .* MB"),
        (allocate, 1000, "accepted", ""),
    ],
)
def test_verdicts(run, case, verdict, why, tmp_path, monkeypatch):
    monkeypatch.setattr("judge.SECONDS", 5.0 if run is allocate else 0.2)
    monkeypatch.setattr("judge.MEGABYTES", 40.0)
    found = corpus.judge(run, case, tmp_path)
    assert found.verdict == verdict and re.search(why, found.why)


def test_garbage_of_before_does_not_hide_what_a_case_needs(tmp_path, monkeypatch):
    monkeypatch.setattr("judge.MEGABYTES", 40.0)
    garbage = [np.ones(400_000_000, np.uint8)]
    garbage.append(garbage)
    del garbage
    assert "MB" in corpus.judge(allocate, 400_000_000, tmp_path).why
    assert gc.get_freeze_count() == 0
