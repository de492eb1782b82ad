"""Python that passes tests: what it is worth, and what the process that runs it cannot do."""

import os
import time

import pytest

import mindcold
from mindcold.constraints import ConstraintError, PythonPasses, Vocabulary
from mindcold.model_folder import find_folder
from mindcold.tokenizer import Tokenizer

TESTS = ["assert double(2) == 4", "assert double('a') == 'aa'", "assert double(0) == 0", "assert double([]) == []"]


def passing(tests=TESTS, prefix="", **options):
    return PythonPasses(tests, prefix, run_untrusted_code=True, **options)


def test_it_is_off_unless_asked_for():
    for options in ({}, {"run_untrusted_code": 1}, {"run_untrusted_code": "yes"}):
        with pytest.raises(ConstraintError, match=r"^constraint PythonPasses: it executes what the model writes"):
            PythonPasses(TESTS, **options)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("def double(x):\n    return x + x\n", 1.0),
        ("def double(x):\n    return 2 * int(x)\n", 0.5),
        ("def double(x):\n    print('loud' * 9999)\n    return x + x\n", 1.0),
        ("Here it is:\n```python\ndef double(x):\n    return x + x\n```\nAnd so on", 1.0),
        ("```\ndef double(x):\n    return x + x\n", 1.0),
        ("def double(x):\n    if x == 2: raise SystemExit(0)\n    return x + x\n", 0.75),
        ("def double(x)\n", 0.0),
        ("import os; os._exit(0)", 0.0),
        ("def double(x):\n    while x: pass\n    return x\n", 0.0),  # the time of all ends in the first test
        ("", 0.0),
        ("\0", 0.0),
        ("'\ud800'", 0.0),
    ],
)
def test_the_share_of_tests_that_pass(text, value):
    assert passing(seconds=0.7).score(text) == value


def test_the_text_completes_what_is_in_front_of_it():
    reward = passing(prefix="def double(x):\n", tests=TESTS[:3])
    state = reward.start(Vocabulary(Tokenizer(find_folder("tiny-base")), 2048, (2,)))
    assert state.value() == 0.0 and state.unmet() == "3 of 3 fail, first assert double(2) == 4"
    assert reward.score("    return x + x\n") == 1.0


HOSTILE = {
    "environment": "import os\nassert not set(os.environ) - {'LC_CTYPE'}, os.environ",
    "folder": "import os\nassert os.listdir() == []\nopen('a', 'w').write('x')",
    "file size": (
        "try:\n    open('big', 'wb').write(b'x' * (1 << 22))\n    bad = 1\nexcept OSError:\n    bad = 0\nassert not bad"
    ),
    "memory": "try:\n    bytearray(1 << 30)\n    bad = 1\nexcept MemoryError:\n    bad = 0\nassert not bad",
    "files": "import os\ntry:\n    while True: os.open('/dev/null', 0)\nexcept OSError as e:\n    pass",
    "network": (
        "try:\n    import socket\n    socket.create_connection(('127.0.0.1', PORT), 1)\n    bad = 1\n"
        "except (OSError, ImportError):\n    bad = 0\nassert not bad"
    ),
    "output": "import sys\nsys.stdout.write('1' * 100)\nassert True",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_the_code_cannot_reach(name, monkeypatch):
    import socket

    monkeypatch.setenv("SECRET", "x")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        code = HOSTILE[name].replace("PORT", str(server.getsockname()[1]))
        assert passing([code, "assert 0"], memory=256).score("") == 0.5


@pytest.mark.skipif(os.getuid() == 0, reason="root may start processes")
def test_it_starts_no_process():
    code = "import os\ntry:\n    os.fork()\n    bad = 1\nexcept OSError:\n    bad = 0\nassert not bad"
    assert passing([code]).score("") == 1.0


def test_nothing_survives_the_wall_time(tmp_path):
    """Neither the code nor, in a namespace of its own, what it has started and taken out of its group."""
    reward, marker = passing(["assert True"], seconds=0.5), tmp_path / "alive"
    beat = f"import time\nwhile True:\n    open({str(marker)!r}, 'a').write('x')\n    time.sleep(0.02)\n"
    began = time.monotonic()
    away = "import os\ntry:\n    if not os.fork(): os.setsid()\nexcept OSError: pass\n"
    assert reward.score((away if reward.isolation() == "namespace" else "") + beat) == 0.0
    assert time.monotonic() - began < 20 and marker.exists()
    size = marker.stat().st_size
    time.sleep(0.3)
    assert marker.stat().st_size == size


def test_temporary_folders_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert passing(["open('a', 'w').write('x')"]).score("import os; os.mkdir('b')") == 1.0
    assert not list(tmp_path.iterdir())


def test_where_namespaces_are_not_allowed_sockets_cannot_be_imported(monkeypatch):
    from mindcold.constraints import sandbox

    assert passing().isolation() in ("namespace", "modules")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            tests = ["import math", "import socket", "import ctypes", "import ssl"]
            sandbox.run({"code": "", "tests": tests, "seconds": 9, "memory": 1 << 40}, False, writing)
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 99) == b"1000"
    os.close(reading)


def test_candidates_are_ranked_by_it():
    llm = mindcold.load("tiny-base")
    reward = PythonPasses(["assert len(text) % 3 == 0"], "text = '''", run_untrusted_code=True)
    monkey = PythonPasses(["assert text.count('e') > 2"], "text = '''", run_untrusted_code=True)
    assert reward.score("abc'''") == 1.0 and monkey.score("abc'''") == 0.0
    code = [mindcold.constraints.TextReward(lambda text: reward.score(text.replace("'", "") + "'''"))]
    out = llm.generate("One day", "best_of", num_candidates=6, max_new_tokens=8, constraint=code)
    assert out.stats.reward == 1.0 and len(out.text.replace("'", "")) % 3 == 0
    assert {item.reward for item in out.ranked} == {0.0, 1.0}


@pytest.mark.parametrize(
    ("tests", "options"),
    [([], {}), ("assert 1", {}), ([""], {}), (["assert ("], {}), (TESTS, {"seconds": 60}), (TESTS, {"memory": 1})],
)
def test_what_cannot_be(tests, options):
    with pytest.raises(ConstraintError, match=r"^constraint PythonPasses: "):
        passing(tests, **options)
