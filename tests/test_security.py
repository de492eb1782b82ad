"""What the code of the project never does, looked for in all of it, and what happens when a hostile model is used."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.folders import write_adapter, write_model

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = ("mindcold", "ops", "model_zoo")
"""Folders of what is installed; `tools` is held to the same, but may talk to a network and run its own scripts."""

UNPICKLING = {"pickle", "_pickle", "cPickle", "pickletools", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
RUNNING = {"runpy", "imp", "code", "codeop", "pty"}
NETWORK = {
    *("socket", "socketserver", "ssl", "http", "urllib", "ftplib", "smtplib", "poplib", "imaplib", "xmlrpc"),
    *("asyncio", "requests", "urllib3", "httpx", "aiohttp", "websockets"),
    *("huggingface_hub", "modelscope", "openmind_hub", "moxing"),
}
CALLS = {
    *("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "torch.load"),
}


def named(node, names):
    """`a.b.c` as it is written, with the first name as it was imported; None for other expressions."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([names.get(node.id, node.id), *reversed(parts)])


def imported(tree):
    """The modules and names a tree imports, wherever in it, and what they are called there."""
    found, names = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                found.add(item.name)
                if item.asname:
                    names[item.asname] = item.name
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for item in node.names:
                found.add(f"{node.module}.{item.name}")
                names[item.asname or item.name] = f"{node.module}.{item.name}"
    return found, names


def true(node):
    """Whether an argument may be true when the code runs."""
    return not (isinstance(node, ast.Constant) and not node.value)


def findings(code, installed=True):
    """What a source does that is not done here: one text for each place, with its line."""
    tree = ast.parse(code)
    modules, names = imported(tree)
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = named(node.func, names) or ""
        options = {item.arg: item.value for item in node.keywords}
        first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if name in ("importlib.import_module", "__import__") and isinstance(first, str):
            modules.add(first)
        banned = name in CALLS
        banned |= ("shell" in options and true(options["shell"])) or name.endswith("create_subprocess_shell")
        banned |= "allow_pickle" in options and true(options["allow_pickle"])
        banned |= "trust_remote_code" in options and true(options["trust_remote_code"])
        if banned:
            found.append(f"{node.lineno}: {ast.unparse(node)[:80]}")
    refused = UNPICKLING | (RUNNING | NETWORK if installed else set())
    found += [f"import of {name}" for name in sorted(modules) if name.split(".")[0] in refused or name in CALLS]
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import importlib\nimportlib.import_module('dill')",
        "from importlib import import_module as get\nget('pickle')",
        "__import__('pickle')",
        "eval('1')",
        "exec(text)",
        "import builtins\nbuiltins.exec(text)",
        "compile(text, 'name', 'exec')",
        "import os\nos.system('ls')",
        "from os import system",
        "import os as o\no.popen('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess as s\ns.Popen(command, shell=wanted)",
        "from subprocess import getoutput",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import yaml\nyaml.load(file, Loader)",
        "from yaml import unsafe_load",
        "import torch\ntorch.load(path)",
        "AutoModel.from_pretrained(path, trust_remote_code=flag)",
        "import socket",
        "from urllib.request import urlopen",
        "import http.client as c",
        "def f():\n    import requests",
    ],
)
def test_what_is_looked_for_is_found(code):
    assert findings(code)


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.run([compiler, name], shell=False)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import yaml\nyaml.safe_load(file)",
        "import re\nre.compile('a')",
        "cell.compile(x)",
        "model.eval()",
        "spec.loader.exec_module(module)",
        "from mindcold.request import Request",
    ],
)
def test_what_does_no_harm_is_left_alone(code):
    assert not findings(code)


SANDBOX = ROOT / "mindcold" / "constraints" / "sandbox.py"
"""The script that runs a model's Python where a caller has asked for that; see `PythonPasses`."""


def sources(folder):
    found = [path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts]
    return [path for path in found if path != SANDBOX]


def test_one_script_runs_code_and_nothing_imports_it():
    text = SANDBOX.read_text(encoding="utf-8")
    assert [item.split(": ")[1].split("(")[0] for item in findings(text)] == ["exec", "compile"]
    for path in (path for folder in INSTALLED for path in sources(folder)):
        modules, _ = imported(ast.parse(path.read_text(encoding="utf-8")))
        assert not any("constraints.sandbox" in name for name in modules), path


@pytest.mark.parametrize("folder", [*INSTALLED, "tools"])
def test_no_unpickling_no_shell_no_code_from_text_no_network(folder):
    files = sources(folder)
    assert files
    found = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in files
        for text in findings(path.read_text(encoding="utf-8"), installed=folder in INSTALLED)
    ]
    assert found == []


TRAP = "from pathlib import Path\nPath({trap!r}).write_text('ran')\n"
HOSTILE = {
    "auto_map": {"AutoConfig": "trap.Config", "AutoModelForCausalLM": "trap.Model", "AutoTokenizer": "trap.Tokenizer"},
    "trust_remote_code": True,
}


def test_a_hostile_model_runs_nothing_and_reaches_nothing(tmp_path):
    """Loaded and decoded in a process that records imports, unpickling, programs and connections."""
    model = write_model(tmp_path / "model", **HOSTILE)
    adapter = write_adapter(tmp_path / "adapter", auto_mapping=HOSTILE["auto_map"])
    trap = tmp_path / "ran"
    for folder in (model, adapter):
        for name in ("trap.py", "modeling_llama.py", "__init__.py", "sitecustomize.py"):
            (folder / name).write_text(TRAP.format(trap=str(trap)))
        (folder / "pytorch_model.bin").write_bytes(f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode())
    arguments = [sys.executable, "-m", "tests.audited", str(model), str(adapter)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert not trap.exists()
    assert seen["tokens"] == 4
    assert seen["opened"] > 0  # the record works
    assert seen["events"] == []


def test_the_tests_that_hold_a_promise_are_there():
    text = (ROOT / ".github" / "SECURITY.md").read_text(encoding="utf-8")
    named_tests = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", text)
    assert len(named_tests) > 10
    for path, name in named_tests:
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), name
