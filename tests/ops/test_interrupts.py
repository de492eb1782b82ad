"""Signals around graph runs, sent to processes that run them."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ops.interrupted import DONE

ROOT = Path(__file__).resolve().parent.parent.parent
SIGINT, SIGTERM = signal.SIGINT, signal.SIGTERM


@contextmanager
def child(*arguments, **environment):
    """A process of interrupted.py, killed if it hangs."""
    command = [sys.executable, str(ROOT / "tests" / "ops" / "interrupted.py"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GLOG_v": "3"} | environment
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def send(process, number, longest=0.1):
    """Wait until it is ready, then for a random time, and send a signal."""
    line = process.stdout.readline()
    assert line == "ready\n", (line, process.wait(), process.stderr.read()[-2000:])
    time.sleep(random.uniform(0, longest))
    process.send_signal(number)


def check_interrupts(process, rounds, longest=0.1):
    for _ in range(rounds):
        send(process, SIGINT, longest)
        line = process.stdout.readline()
        assert line == "interrupted\n", (line, process.wait(), process.stderr.read()[-2000:])
    assert process.wait() == DONE, process.stderr.read()[-2000:]


@pytest.mark.parametrize(
    ("mode", "rounds", "longest"),
    [
        ("loop", 20, 0.1),
        ("idle", 6, 0.1),
        ("left", 6, 0.1),
        ("late", 3, 0.1),
        ("compiling", 10, 0.3),
        ("nested", 10, 0.1),
        ("threads", 10, 0.1),
    ],
)
def test_ctrl_c_is_a_keyboard_interrupt_after_the_block(mode, rounds, longest):
    with child(mode) as process:
        check_interrupts(process, rounds, longest)


@pytest.mark.parametrize("mode", ["alarms", "alarms_beside_a_thread"])
def test_alarms_go_off_after_a_block_of_the_main_thread(mode):
    with child(mode) as process:
        assert process.wait() == DONE, process.stderr.read()[-2000:]


def test_without_a_compiler_the_handler_is_put_back():
    with child("idle", CXX="no-such-compiler") as process:
        check_interrupts(process, 6)
        assert "Ctrl-C during a step will end the process" in process.stderr.read()


def test_the_handlers_of_the_program_are_called():
    with child("handlers") as process:
        for number in [SIGINT, SIGTERM] * 5:
            send(process, number)
        assert process.wait() == DONE, process.stderr.read()[-2000:]


def test_sigterm_from_outside_ends_the_process():
    with child("endless") as process:
        send(process, SIGTERM)
        assert process.wait() == -SIGTERM


def test_the_default_action_ends_the_process_by_sigint():
    with child("endless", "SIG_DFL") as process:
        send(process, SIGINT)
        assert process.wait() == -SIGINT


def test_what_is_ignored_is_ignored():
    with child("endless", "SIG_IGN") as process:
        send(process, SIGINT)
        time.sleep(0.3)
        process.send_signal(SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(SIGTERM)
        assert process.wait() == -SIGTERM
