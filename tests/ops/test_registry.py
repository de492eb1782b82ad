"""Choosing a body."""

import re
from dataclasses import replace

import pytest

from mindcold.errors import OperatorError
from mindcold.ops import contrastive_score, registry, rope


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
