"""Choosing a body, and building the C++ ones."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mindcold.errors import OperatorError
from mindcold.ops import build, contrastive_score, registry, rope
from mindcold.ops.contrastive_score.aot import SOURCE


def test_names_and_lookup():
    assert registry.names() == [
        "contrastive_score",
        "decoder",
        "frozen_matmul",
        "lora_linear",
        "rope",
        "swiglu",
        "tree_attention",
        "tree_verify",
        "trigram_draft",
    ]
    assert registry.get("contrastive_score") is contrastive_score
    with pytest.raises(OperatorError, match="'softmax' is not one of contrastive_score"):
        registry.get("softmax")


def test_unknown_backend_names_the_bodies():
    for operator in (contrastive_score, rope):
        with pytest.raises(
            OperatorError, match=r"backend: 'cuda' is not one of auto, akg, aot, ascend, builtin, single, triton$"
        ):
            operator.choose("cuda")


def test_a_backend_of_other_operators_leaves_the_choice_open(monkeypatch):
    assert "akg" in contrastive_score.available() and "akg" not in rope.available()
    assert rope.choose("akg") is rope.choose("auto")
    reason = "no compiler"
    bodies = tuple(
        replace(body, missing=lambda: reason) if body.name == "akg" else body for body in contrastive_score.bodies
    )
    monkeypatch.setattr(contrastive_score, "bodies", bodies)
    with pytest.raises(OperatorError, match="contrastive_score: body 'akg' cannot run here: no compiler"):
        contrastive_score.choose("akg")


def test_every_body_of_a_known_name_can_be_asked_for():
    for name in registry.names():
        for backend in registry.body_names():
            if registry.get(name).available().get(backend) is not None:
                continue  # has a body of this name, which cannot run on this machine
            assert registry.get(name).choose(backend) in registry.get(name).bodies


def test_bodies_of_another_device_say_so(monkeypatch):
    graph = ("lora_linear", "rope", "swiglu", "tree_attention")
    for name in graph:
        assert registry.get(name).available()["ascend"] == "the device is CPU, this body is for Ascend"
        with pytest.raises(OperatorError, match=f"{name}: body 'ascend' cannot run here: the device is CPU"):
            registry.get(name).choose("ascend")
    monkeypatch.setattr(registry.ms, "get_context", lambda name: "Ascend")
    for name in graph:
        operator = registry.get(name)
        assert operator.available() == {
            "aot": "the device is Ascend, this body is for CPU",
            "ascend": None,
            "builtin": None,
        }
    for name in {*registry.names()} - {"trigram_draft"}:  # the host's, on every device
        for body, reason in registry.get(name).available().items():
            if body in ("aot", "akg"):
                assert reason == "the device is Ascend, this body is for CPU"


def test_an_operator_that_mindspore_has_no_more_leaves_its_body(monkeypatch, caplog):
    monkeypatch.setattr(registry.ms, "get_context", lambda name: "Ascend")
    monkeypatch.setattr(registry, "_WARNED", set())
    monkeypatch.setattr(rope, "_chosen", None)
    monkeypatch.delattr("mindspore.ops.rotary_position_embedding")
    assert rope.choose().name == "builtin"
    assert re.search(r"rope: body 'ascend' cannot run here \(MindSpore \S+ has no ops.rotary_position", caplog.text)


def test_ascend_takes_its_own_bodies_and_warns_of_no_other_devices(monkeypatch, caplog):
    monkeypatch.setattr(registry.ms, "get_context", lambda name: "Ascend")
    for name in ("lora_linear", "rope", "swiglu", "tree_attention"):
        monkeypatch.setattr(registry.get(name), "_chosen", None)
        assert registry.get(name).choose().name == "ascend"
    assert not caplog.text


def test_without_a_compiler_the_builtin_body_runs(monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(contrastive_score, "_chosen", None)
    monkeypatch.setattr(registry, "_WARNED", set())
    assert type(contrastive_score.body()).__name__ == "BuiltinContrastiveScore"
    assert "g++ was not found" in caplog.text and "trying the next" in caplog.text
    assert "g++ was not found" in contrastive_score.available()["aot"]
    with pytest.raises(OperatorError, match="body 'aot' cannot run here: g\\+\\+ was not found"):
        contrastive_score.body("aot")
    monkeypatch.setattr(contrastive_score, "_chosen", None)


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDCOLD_CACHE", str(tmp_path / "cache"))
    build.library.cache_clear()
    yield tmp_path / "cache"
    build.library.cache_clear()


def copy_source(folder, change=""):
    (folder / "op").mkdir(exist_ok=True)
    for header in SOURCE.parent.parent.glob("*.h"):
        (folder / header.name).write_bytes(header.read_bytes())
    source = folder / "op" / "kernel.cc"
    source.write_text(SOURCE.read_text() + change)
    return source


def test_the_cache_key_follows_the_content(tmp_path, fresh_cache):
    source = copy_source(tmp_path)
    first = build.library(source)
    build.library.cache_clear()
    assert build.library(source) == first and first.is_file()
    build.library.cache_clear()
    assert build.library(copy_source(tmp_path, "\n// changed\n")) != first
    build.library.cache_clear()
    source = copy_source(tmp_path)
    (tmp_path / "exp.h").write_text((tmp_path / "exp.h").read_text() + "\n// changed\n")
    assert build.library(source) != first
    assert not list(fresh_cache.glob("*.partial"))


def test_a_source_that_does_not_compile_names_the_error(tmp_path, fresh_cache):
    with pytest.raises(OperatorError, match=r"kernel\.cc: g\+\+ failed: .*error"):
        build.library(copy_source(tmp_path, "\nint broken("))
    assert not list(fresh_cache.iterdir())


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, fresh_cache):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINDCOLD_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(OperatorError, match="set MINDCOLD_CACHE"):
        build.library(SOURCE)


def test_two_processes_building_at_once(fresh_cache):
    code = f"from pathlib import Path; from mindcold.ops import build; print(build.library(Path({str(SOURCE)!r})))"
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {run.communicate(timeout=120)[0].strip().splitlines()[-1] for run in runs}
    assert all(run.returncode == 0 for run in runs) and len(paths) == 1 and Path(paths.pop()).is_file()
