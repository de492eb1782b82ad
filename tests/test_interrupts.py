"""Ctrl-C: a command ends with one line and 130, a program gets KeyboardInterrupt, during a call and between calls."""

import select
import signal
import subprocess
import sys
import time

import pytest

import mindcold

SCRIPT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
import mindcold
llm = mindcold.load("tiny-base", "tiny-steps")
expected = llm.generate([5, 6, 7], "cold", max_new_tokens=12).token_ids
caught = 0
print("ready", flush=True)
while caught < 6:
    try:
        if caught % 2:
            llm.generate([5, 6, 7], "cold", max_new_tokens=200, eos_token_id=[])
        else:
            time.sleep(0.5)
    except KeyboardInterrupt:
        caught += 1
        print("caught", flush=True)
assert llm.generate([5, 6, 7], "cold", max_new_tokens=12).token_ids == expected
assert llm.engine.used_slots == 0
print("done", flush=True)
"""


def test_a_program_gets_keyboard_interrupt():
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            for i in range(6):
                time.sleep(0.07 * (i + 1))
                process.send_signal(signal.SIGINT)
                assert select.select([process.stdout], [], [], 60)[0], f"interrupt {i} is lost"
                assert process.stdout.readline() == "caught\n", process.stderr.read()[-500:]
            assert process.stdout.readline() == "done\n"
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_the_command_ends_with_one_line():
    command = [sys.executable, "-m", "mindcold", "generate", "--model", "tiny-base", "--prompt", "One day"]
    command += ["--max-new-tokens", "400", "--eos-token-id", "-1"]
    # scores on the host of two streams: it decodes for a second, and the signal finds it at that
    command += ["--adapter", "tiny-steps", "--method", "cold", "--repetition-penalty", "1.01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.read(1)  # it decodes
            time.sleep(0.1)  # past the first step, which leaves MindSpore's own handler behind for a millisecond
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 130, err
            assert err.decode().strip().splitlines()[-1] == "mindcold generate: stopped"
        finally:
            process.kill()


def test_an_alarm_of_the_caller_goes_off_in_a_constraint_when_it_is_due():
    """Many evaluations, each far below the limit of one, and an alarm that is due in the middle."""

    def slow(text):
        time.sleep(0.02)
        return 0.5

    def fire(*_):
        raise TimeoutError("the caller's")

    llm = mindcold.load("tiny-base")
    llm.generate([5, 6], "cdlh", constraint=lambda text: 0.5, lookahead=2, candidates=4, max_new_tokens=2)
    before = signal.signal(signal.SIGALRM, fire)
    try:
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeoutError, match="the caller's"):
            llm.generate([5, 6], "cdlh", constraint=slow, lookahead=8, max_new_tokens=60, eos_token_id=[])
        assert 0.3 <= time.monotonic() - began < 3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert llm.engine.used_slots == 0


START_UP = "from mindcold.cli import main; import sys; print('begun', flush=True); sys.exit(main())"


@pytest.mark.parametrize("seconds", [0.0, 0.6, 1.2, 1.8])
def test_during_start_up_the_command_ends_with_one_line(seconds):
    command = [sys.executable, "-c", START_UP, "generate", "--model", "tiny-base", "--prompt", "One day"]
    command += ["--max-new-tokens", "400", "--eos-token-id", "-1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=minding) as process:
        try:
            assert process.stdout.readline() == b"begun\n"
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and err == b"mindcold generate: stopped\n"


def minding():
    """A shell's background jobs ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
