"""Short runs on a tiny network: the loss falls, LoRA leaves the base alone, a resumed run is the same run."""

import json
import shutil
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from mindcold.adapter_formats import read_adapter
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.model.shapes import weight_shapes
from mindcold.training.checkpoint import BEST, LAST
from mindcold.training.data import TrainingSet
from mindcold.training.export import export_adapter, export_model
from mindcold.training.lora import LoraSettings
from mindcold.training.loss_log import LOG, PICTURE
from mindcold.training.settings import TrainingSettings
from tests.folders import load_random
from tests.training.conftest import LENGTH, STEPS


def values(trainer) -> dict[str, np.ndarray]:
    return {name: item.asnumpy().copy() for name, item in trainer.network.trainable.items()}


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def records(folder):
    return [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]


def test_loss_falls_and_the_model_can_be_read_back(tmp_path, config, make_trainer):
    trainer = make_trainer(tmp_path / "run")
    outcome = trainer.train()
    losses = outcome.losses
    assert outcome.ended and len(losses) == STEPS
    assert losses[0] == pytest.approx(np.log(config.vocab_size), abs=0.1)  # fresh weights know nothing
    assert losses[-1] < 0.8 * losses[0]
    logged = records(tmp_path / "run")
    assert [record["loss"] for record in logged] == losses
    assert [record["step"] for record in logged] == list(range(1, STEPS + 1))
    assert all(record["gradient_norm"] > 0 for record in logged)
    assert logged[1]["learning_rate"] == 0.01 and logged[-1]["learning_rate"] == pytest.approx(0.001)
    assert (tmp_path / "run" / PICTURE).read_bytes().startswith(b"\x89PNG")

    export_model(trainer.network, config, tmp_path / "model")
    assert ModelConfig.from_folder(tmp_path / "model").to_hf() == config.to_hf()
    checkpoint = Checkpoint(tmp_path / "model", config)
    trained = values(trainer)
    assert set(trained) == set(weight_shapes(config))
    for name, shape in weight_shapes(config).items():
        assert np.array_equal(checkpoint.tensor(name, shape), trained[name])
    assert not list(tmp_path.rglob("partial-*"))


def test_lora_moves_b_and_is_read_back(tmp_path, config, make_trainer):
    lora = LoraSettings(2, 4.0, ("q_proj", "down_proj"))
    trainer = make_trainer(tmp_path / "run", lora)
    before = values(trainer)
    assert all(not value.any() for name, value in before.items() if "lora_B" in name)
    losses = trainer.train().losses
    after = values(trainer)
    assert not any(np.array_equal(value, after[name]) for name, value in before.items())
    assert losses[-1] < losses[0]

    export_adapter(trainer.network, config, "tiny", tmp_path / "adapter")
    adapter = read_adapter(tmp_path / "adapter", config)
    assert set(adapter.pairs) == {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"}
    for module, pair in adapter.pairs.items():
        np.testing.assert_allclose(
            pair.b @ pair.a, 2 * after[f"{module}.lora_B.weight"] @ after[f"{module}.lora_A.weight"], rtol=1e-5
        )

    export_adapter(trainer.network, replace(config, dtype="bfloat16"), "tiny", tmp_path / "half")
    with safe_open(tmp_path / "half" / "adapter_model.safetensors", "numpy") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118 - no mapping
    half = read_adapter(tmp_path / "half", config)
    for module, pair in adapter.pairs.items():
        assert np.allclose(half.pairs[module].a, pair.a, rtol=2**-8, atol=0)


@pytest.mark.parametrize(
    "lora",
    [
        None,
        LoraSettings(2, 4.0, "all-linear", dropout=0.25),
        LoraSettings(2, 4.0, ("q_proj", "lm_head"), dropout=0.25, saved=("embed_tokens",)),
    ],
    ids=["whole", "lora", "head and embedding"],
)
def test_a_resumed_run_is_bit_by_bit_an_uninterrupted_one(tmp_path, make_trainer, rows, lora):
    held_out = TrainingSet(rows[::5], LENGTH, 2, 0)
    make_trainer = partial(make_trainer, dtype="bfloat16")  # of the base below an adapter
    whole = make_trainer(tmp_path / "whole", lora, held_out=held_out, accumulation=2)
    expected = whole.train()
    for until in (1, 5, 6):
        stopped = make_trainer(tmp_path / "parts", lora, held_out=held_out, accumulation=2).train(until)
        assert not stopped.ended and len(stopped.losses) == until
    with (tmp_path / "parts" / LOG).open("a", encoding="utf-8") as file:  # killed after the checkpoint
        file.write('{"step": 7, "loss": 1.0}\n{"step": 8, "lo')
    resumed = make_trainer(tmp_path / "parts", lora, held_out=held_out, accumulation=2)
    assert resumed.train() == expected
    assert same(values(resumed), values(whole))
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    for name in (LAST, BEST):
        assert same(load_file(tmp_path / "parts" / name), load_file(tmp_path / "whole" / name))
    assert make_trainer(tmp_path / "parts", lora, held_out=held_out, accumulation=2).train() == expected  # ended


def test_the_checkpoint_alone_suffices(tmp_path, make_trainer):
    """Whatever becomes of the log between two parts of a run, the run and its log are those of an undisturbed one."""
    expected = make_trainer(tmp_path / "whole").train()
    make_trainer(tmp_path / "begun").train(6)
    content = (tmp_path / "begun" / LOG).read_bytes()
    for i, log in enumerate((None, content[: len(content) // 2], b'{"step": 1, "loss": 0.5}\n\xff\x00')):
        parts = tmp_path / str(i)
        shutil.copytree(tmp_path / "begun", parts)
        (parts / LOG).unlink() if log is None else (parts / LOG).write_bytes(log)
        assert make_trainer(parts).train() == expected
        assert records(parts) == records(tmp_path / "whole")
        assert same(load_file(parts / LAST), load_file(tmp_path / "whole" / LAST))


def test_every_step_has_the_batches_of_its_place(tmp_path, make_trainer, rows):
    """Through the whole data, and from where it stopped when it goes on: never a batch again that was had before."""

    class Watched(TrainingSet):
        def batches(self, step):
            found = super().batches(step)
            asked.extend(batch.number for batch in found)
            return found

    asked: list[int] = []
    for until in (1, 5, None):
        trainer = make_trainer(tmp_path / "run", accumulation=2)
        trainer._data = Watched(rows, LENGTH, 4, 5, 2)
        trainer.train(until)
    assert asked == list(range(2 * STEPS))


def test_a_stop_ends_the_run_after_a_step_and_saves(tmp_path, make_trainer):
    asked = iter(range(100))
    stopped = make_trainer(tmp_path / "run", stopped=lambda: next(asked) > 4, accumulation=2).train()
    assert not stopped.ended and 0 < len(stopped.losses) < STEPS
    assert (
        make_trainer(tmp_path / "run", accumulation=2).train()
        == make_trainer(tmp_path / "whole", accumulation=2).train()
    )
    # half a step is given up on, not half counted
    assert same(load_file(tmp_path / "run" / LAST), load_file(tmp_path / "whole" / LAST))


def test_evaluation_keeps_the_best_and_ends_the_run(tmp_path, make_trainer, rows):
    """Held out is what training forgets: counting backwards."""
    backwards = [replace(row, tokens=row.tokens[::-1].copy(), labels=row.tokens[::-1].copy() - 1) for row in rows[:4]]
    begin = partial(make_trainer, held_out=TrainingSet(backwards, LENGTH, 3, 0), rate=0.03, settings={"patience": 2})
    trainer = begin(tmp_path / "run")
    outcome = trainer.train()
    found = {r["step"]: r["held_out_loss"] for r in records(tmp_path / "run") if "held_out_loss" in r}
    assert outcome.ended and len(outcome.losses) < STEPS
    best = min(found, key=found.__getitem__)
    assert outcome.best_step == best and max(found) == best + 6
    trainer.use_best()
    kept = load_file(tmp_path / "run" / BEST)
    assert same(values(trainer), kept) and not same(kept, load_file(tmp_path / "run" / LAST))
    assert begin(tmp_path / "run").train() == outcome
    with safe_open(tmp_path / "run" / LAST, "numpy") as file:
        position = json.loads(file.metadata()["position"])
    assert position["ended_early"] and position["step"] == best + 6
    # stopped after the first evaluation that was not better, it has not forgotten it
    assert not begin(tmp_path / "parts").train(best + 4).ended
    assert begin(tmp_path / "parts").train() == outcome
    assert same(load_file(tmp_path / "parts" / LAST), load_file(tmp_path / "run" / LAST))


def test_accumulation_is_one_large_batch(tmp_path, config, rows, make_trainer):
    """Rows with different numbers of labels: the mean is over labels, not over batches."""
    from mindcold.training.model import TrainingLM, initial_weights
    from mindcold.training.trainer import Trainer

    uneven = [
        replace(row, labels=np.where(np.arange(LENGTH) < 1 + i % 9, row.labels, -100)) for i, row in enumerate(rows)
    ]
    found = []
    for batch, accumulation in ((8, 1), (4, 2), (2, 4)):
        data = TrainingSet(uneven, LENGTH, batch, 5, accumulation)
        network = TrainingLM(config, initial_weights(config, 3))
        settings = TrainingSettings(3, 0.01, warmup_steps=0)
        found.append(Trainer(network, data, settings, tmp_path / str(batch)).train().losses)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5)


def test_clipping_bounds_the_norm_that_reaches_the_optimiser(config):
    import mindspore as ms
    from mindspore import nn

    from mindcold.training.update import Update

    parameters = [ms.Parameter(ms.Tensor(np.zeros(2, np.float32)), name=name) for name in "ab"]
    update = Update(parameters, nn.SGD(parameters, learning_rate=1.0), clip_norm=0.5)
    norm, (a, b) = update([ms.Tensor(np.array([3, 0], np.float32)), ms.Tensor(np.array([0, 4], np.float32))])
    assert float(norm.asnumpy()) == pytest.approx(5)
    np.testing.assert_allclose(a.asnumpy(), [-0.3, 0], rtol=1e-5)
    np.testing.assert_allclose(b.asnumpy(), [0, -0.4], rtol=1e-5)
    norm, (a, b) = update([ms.Tensor(np.array([0.1, 0], np.float32))] * 2)
    np.testing.assert_allclose(a.asnumpy(), [-0.4, 0], rtol=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, config, make_trainer):
    import mindspore as ms

    trainer = make_trainer(tmp_path / "run")
    broken = [ms.Tensor(item.asnumpy() * np.float32("nan")) for item in trainer.network.trainable.values()]
    trainer.network.update(broken)
    with pytest.raises(TrainingError, match="step 1: the loss is nan"):
        trainer.train()
    assert not (tmp_path / "run" / LAST).exists()


def test_rubbish_to_go_on_with(tmp_path, make_trainer):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LAST).write_bytes(b"rubbish")
    with pytest.raises(TrainingError, match="not a checkpoint") as caught:
        make_trainer(folder).train()
    assert "\n" not in str(caught.value)
    make_trainer(folder).forget()
    make_trainer(folder).train(1)
    with pytest.raises(TrainingError, match="the run had other settings"):
        make_trainer(folder, LoraSettings(2, 4.0, "all-linear")).train()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"warmup_steps": 50}, "warmup_steps"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"patience": 0}, "patience"),
        ({"schedule": "steps"}, "schedule: 'steps' is not one of cosine, linear"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(TrainingError, match=message):
        TrainingSettings(**{"steps": 10, "learning_rate": 0.1, "warmup_steps": 1} | changes)


def test_hundreds_of_tensors_are_updated_and_added_up():
    """A base of thirty layers has 420 matrices of an adapter: more than a loop in a graph may be deep."""
    import mindspore as ms
    from mindspore import nn

    from mindcold.training.sums import Sum
    from mindcold.training.update import Update

    parameters = [ms.Parameter(ms.Tensor(np.zeros(1, np.float32)), name=f"p{i}") for i in range(600)]
    ones = [ms.Tensor(np.full(1, i, np.float32)) for i in range(600)]
    doubled = Sum()(*ones, *ones)
    assert [float(item.asnumpy()[0]) for item in doubled] == [2.0 * i for i in range(600)]
    _, values = Update(parameters, nn.SGD(parameters, learning_rate=1.0), clip_norm=1e9)(ones)
    np.testing.assert_allclose(
        [float(item.asnumpy()[0]) for item in values], [-float(i) for i in range(600)], rtol=1e-5
    )


def test_training_in_a_thread_beside_decoding(tmp_path, make_trainer):
    """Each is what it is alone."""
    expected = make_trainer(tmp_path / "alone").train()
    llm = load_random(tmp_path, 3)
    options = {"max_new_tokens": 24, "eos_token_id": []}
    wanted = [llm.generate([5, 6, 7], method, **options).token_ids for method in ("greedy", "cold")]
    found = []
    thread = threading.Thread(target=lambda: found.append(make_trainer(tmp_path / "beside").train()))
    thread.start()
    rounds = 0
    while thread.is_alive() or not rounds:
        assert [llm.generate([5, 6, 7], method, **options).token_ids for method in ("greedy", "cold")] == wanted
        rounds += 1
    thread.join()
    assert found == [expected] and llm.engine.used_slots == 0
