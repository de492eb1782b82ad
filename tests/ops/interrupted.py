"""What test_interrupts.py interrupts: python interrupted.py MODE; says "ready" whenever a signal may come."""

import ctypes
import signal
import sys
import threading
import time

import mindspore as ms
import numpy as np
from mindspore import ops

from mindcold.ops import interrupts
from mindcold.ops.interrupts import held

ROUNDS = 20
DONE = 42
"""Exit code of a mode that went to its end."""


def products(x):
    for _ in range(8):
        x = ops.matmul(x, x) * 1e-3
    return x


graph = ms.jit(products)
inside = False


def run(size=128):
    """One block with one graph run; `inside` says whether it is open."""
    global inside
    with held():
        inside = True
        graph(ms.Tensor(np.ones((size, size), np.float32))).asnumpy()
        inside = False


def until_interrupted(body):
    """Repeat until KeyboardInterrupt, which must not come inside a block."""
    global inside
    print("ready", flush=True)
    try:
        while True:
            body()
    except KeyboardInterrupt:
        assert not inside, "inside a block"
        print("interrupted", flush=True)


def loop():
    run()
    for _ in range(ROUNDS):
        until_interrupted(run)


def idle():
    for _ in range(3):
        run()
        until_interrupted(lambda: time.sleep(0.01))
        run()
        until_interrupted(lambda: time.sleep(60))  # which has to be woken


def left():
    """Something puts the block's own handler back after the block, as MindSpore may with what it found."""
    interrupts.WATCHED = 0.0
    run()
    time.sleep(0.1)
    sigaction, own = ctypes.CDLL(None).sigaction, ctypes.create_string_buffer(256)
    for _ in range(3):
        with held():
            sigaction(int(signal.SIGINT), None, own)
        sigaction(int(signal.SIGINT), own, None)
        until_interrupted(lambda: time.sleep(60))
        until_interrupted(run)


def late():
    """MindSpore's own handler comes after a block, as it does milliseconds after the first."""
    interrupts.WATCHED = 60.0
    graph(ms.Tensor(np.ones((128, 128), np.float32))).asnumpy()  # which leaves it
    sigaction, foreign = ctypes.CDLL(None).sigaction, ctypes.create_string_buffer(256)
    sigaction(int(signal.SIGINT), None, foreign)
    run()
    for _ in range(3):
        sigaction(int(signal.SIGINT), foreign, None)
        time.sleep(0.2)
        until_interrupted(lambda: time.sleep(60))


def compiling():
    sizes = iter(range(1, 10000))
    for _ in range(ROUNDS // 2):
        until_interrupted(lambda: run(next(sizes)))


class Due(Exception):
    """Raised by the handler of an alarm."""


def ring(number, frame):
    raise Due


def alarms():
    """Of the program: they are due while a graph is compiled, and what their handler raises must not be lost."""
    global inside
    signal.signal(signal.SIGALRM, ring)
    for size in range(1, 4 * ROUNDS):
        signal.setitimer(signal.ITIMER_REAL, 0.001 * size)
        try:
            run(size)
            signal.pause()
        except Due:
            assert not inside, "inside a block"
    assert signal.getsignal(signal.SIGALRM) is ring


def alarms_beside_a_thread():
    """A block of another thread holds no alarm back, which goes off in the main thread."""
    signal.signal(signal.SIGALRM, ring)
    run()
    opened, close = threading.Event(), threading.Event()

    def work():
        with held():
            opened.set()
            close.wait(60)

    worker = threading.Thread(target=work)
    worker.start()
    opened.wait()
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        close.wait(60)
        raise AssertionError("not gone off")
    except Due:
        assert worker.is_alive()
    close.set()
    worker.join()


def nested():
    global inside
    run()

    def outer():
        global inside
        with held():
            inside = True
            for _ in range(2):
                with held():
                    graph(ms.Tensor(np.ones((128, 128), np.float32))).asnumpy()
            inside = False

    for _ in range(ROUNDS // 2):
        until_interrupted(outer)


def threads():
    run()
    stop, one_graph, faults = threading.Event(), threading.Lock(), []

    def work():
        try:
            while not stop.is_set():
                with held(), one_graph:
                    graph(ms.Tensor(np.ones((128, 128), np.float32))).asnumpy()
        except BaseException as error:
            faults.append(error)

    # they wait for one another inside, so that always one block at least is open
    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in range(ROUNDS // 2):
        until_interrupted(lambda: stop.wait(60))  # which has to be woken too
    stop.set()
    for worker in workers:
        worker.join()
    assert not faults


def handlers():
    """The program's own handlers get what arrives, after the block."""
    got = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: got.append((number, inside)))
    for number in [signal.SIGINT, signal.SIGTERM] * 5:
        got.clear()
        print("ready", flush=True)
        while not got:
            run()
        assert got == [(number, False)], got


def endless():
    """With the handler of SIGINT given on the command line, if any."""
    chosen = sys.argv[2:]
    if chosen:
        signal.signal(signal.SIGINT, getattr(signal, chosen[0]))
    run()
    print("ready", flush=True)
    while True:
        run()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job would ignore
    globals()[sys.argv[1]]()
    sys.exit(DONE)
