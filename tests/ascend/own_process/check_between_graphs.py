"""Triton bodies in their place: called between the network's graph and the next step, with the kernels' stand-ins."""

import ast
import inspect
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

import mindcold
from mindcold.engine import Engine, StepPlan
from mindcold.engine.step import ScoreBetweenGraphs
from mindcold.ops import contrastive_score, launcher, registry, tree_verify
from mindcold.ops.lora_linear.npu import add_low_rank
from mindcold.ops.tree_attention.npu import commit
from tests.ascend.kernels import KERNELS, launches
from tests.engine.test_engine import CountingFactory
from tests.folders import write_adapter, write_model

PROMPTS = [[5, 9, 12, 3, 40, 41, 42, 5, 9], [7, 8]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    return write_model(folder / "model"), write_adapter(folder / "adapter")


@pytest.fixture
def between(monkeypatch):
    """The Triton bodies chosen, as where triton-ascend is installed."""
    for operator in (contrastive_score, tree_verify):
        monkeypatch.setattr(operator, "_chosen", next(body for body in operator.bodies if body.name == "triton"))
    return launches(monkeypatch)


def decoded(folders):
    llm = mindcold.load(*folders)
    asked = [
        {"method": "cold", "alpha": 0.1, "beta": 0.5, "draft": "trigram"},
        {"method": "greedy", "bad_words_ids": [[3], [50]]},
        {"method": "sample", "seed": 3, "top_k": 5},
        {"method": "beam", "num_beams": 2},
    ]
    return [out.token_ids for item in asked for out in llm.generate(PROMPTS, max_new_tokens=8, **item)], llm


def test_tokens_are_those_of_one_graph(folders, between):
    found, llm = decoded(folders)
    graphs = llm.engine._graphs.values()
    assert graphs and all(isinstance(graph, ScoreBetweenGraphs) for graph in graphs)
    assert between["contrastive_score"].count == between["tree_verify"].count > 8
    for operator in (contrastive_score, tree_verify):
        operator._chosen = None
    assert found == decoded(folders)[0]


def test_a_draft_is_accepted_as_in_one_graph(between):
    engine = Engine(CountingFactory())
    engine.reserve(100)
    sequence, plan = engine.open([-1], 10), StepPlan()
    plan.extend(sequence, [4, 5], draft=[6, 9, 7], parents=[-1, -1, 0])
    for row in range(1, 5):
        plan.score([row], token=[-1, 6, 9, 7][row - 1], parent=[-1, 0, 0, 1][row - 1])
    out = engine.run(plan, scores=True)
    assert out.tokens[:4] == [6, 7, 10, 8] and out.accepted[:4] == [1, 3, -1, -1]
    assert out.row(0).argmax() == 6 and between["tree_verify"].count == 1


@pytest.mark.parametrize("name", KERNELS)
def test_stand_ins_take_what_the_kernels_take(name):
    """The kernels' modules need triton: their source is read."""
    homes = {"best_tokens": "contrastive_score", "kv_commit": "tree_attention", "trigram_lookup": "trigram_draft"}
    home = homes.get(name, "lora_linear" if name.startswith("lora") else name)
    source = Path(launcher.__file__).parent / home / "triton.py"
    if not source.is_file():
        pytest.skip("the kernels are not in this tree")
    function = next(node for node in ast.parse(source.read_text()).body if getattr(node, "name", "") == name)
    constants = [item.arg for item in function.args.args if item.annotation is not None]
    _, *mine = inspect.signature(KERNELS[name]).parameters.values()
    assert [item.name for item in mine if item.kind is item.KEYWORD_ONLY] == constants
    assert len(mine) == len(function.args.args)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("best", [0, 3])
def test_contrastive_score(between, masked, best):
    rng = np.random.default_rng(7)
    expert, base = (rng.integers(-3, 3, (5, 70)).astype(np.float32) for _ in range(2))
    weights = np.float32([[0.1, 0.5], [0, 0], [0.3, 1], [1, 0.2], [-1, -1]])
    allowed = [ms.Tensor(rng.integers(0, 2, (5, 70)).astype(np.int8))] if masked else []
    out = contrastive_score.body(best=best)(*map(ms.Tensor, (expert, base, weights)), *allowed)
    wanted = contrastive_score.reference(expert, base, weights, *(item.asnumpy() for item in allowed), best=best)
    assert len(out) == len(wanted) == (5 if best else 3)
    for mine, its in zip(out, wanted, strict=True):
        np.testing.assert_allclose(mine.asnumpy()[:4], its[:4], rtol=1e-6)


def test_moves_and_low_rank_parts(between):
    rng = np.random.default_rng(8)
    caches = [ms.Parameter(ms.Tensor(rng.standard_normal((9, 2, 4)).astype(np.float32)), name=str(i)) for i in range(2)]
    expected = [cache.asnumpy().copy() for cache in caches]
    commit(caches, np.int32([5, -1, 6]), np.int32([3, -1, 4]))
    for cache, wanted in zip(caches, expected, strict=True):
        wanted[[3, 4]] = wanted[[5, 6]]
        assert np.array_equal(cache.asnumpy(), wanted)
    x, a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 6), (3, 8, 6), (3, 8, 5)))
    y, adapter = np.ones((4, 9), np.float32), np.int32([2, -1, 0, -2])
    out = ms.Tensor(y)
    add_low_rank(*map(ms.Tensor, (x, a, b, adapter)), out, first=2)
    for row in (0, 2):
        y[row, 2:7] += x[row] @ a[adapter[row]].T @ b[adapter[row]]
    np.testing.assert_allclose(out.asnumpy(), y, rtol=1e-5)


def test_without_triton_mindspores_operators_run_and_one_warning_says_why(monkeypatch, caplog):
    monkeypatch.setattr(registry.ms, "get_context", lambda name: "Ascend")
    monkeypatch.setattr(registry, "_WARNED", set())
    reason = "triton-ascend is not installed; see tools/ascend/README.md"
    for operator in (contrastive_score, tree_verify):
        monkeypatch.setattr(operator, "_chosen", None)
        assert operator.available()["triton"] == reason
        assert operator.choose().name == "builtin"
    assert caplog.text.count(reason) == 1


def test_a_triton_without_a_launcher_for_mindspore_says_so(monkeypatch, tmp_path):
    (tmp_path / "triton" / "backends" / "ascend").mkdir(parents=True)
    for folder in ("", "backends", "backends/ascend"):
        (tmp_path / "triton" / folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    forget(monkeypatch)
    assert launcher.missing().startswith("this triton has no launcher for MindSpore (No module named")
    register = tmp_path / "triton/backends/ascend/backend_register.py"
    register.write_text(REGISTER.format(names={"torch_npu"}))
    forget(monkeypatch)
    assert "Strategy mindspore" in launcher.missing()
    register.write_text(REGISTER.format(names={"torch_npu", "mindspore"}) + "# now with MindSpore\n")
    (tmp_path / "triton/backends/ascend/utils.py").write_text("backend_policy = None\n")
    forget(monkeypatch)
    assert launcher.missing() is None
    monkeypatch.setenv("TRITON_BACKEND", "mindspore")
    launcher.choose_framework.__wrapped__()
    from triton.backends.ascend import utils

    assert utils.backend_policy == "mindspore"
    forget(monkeypatch)


REGISTER = """
class Registry:
    def execute_func(self, category, method):
        if category not in {names}:
            raise ValueError(f"Strategy {{category}} not registered")

backend_strategy_registry = Registry()
"""


def forget(monkeypatch):
    """Modules are looked for anew."""
    import importlib
    import sys

    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.split(".")[0] == "triton"]:
        monkeypatch.delitem(sys.modules, name)
