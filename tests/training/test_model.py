"""The training network has the engine's logits, which parity tests hold against transformers, and right gradients."""

from dataclasses import replace

import mindspore as ms
import ml_dtypes
import numpy as np
import pytest

import mindcold
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig, parse_config
from mindcold.errors import TrainingError
from mindcold.model.shapes import weight_shapes
from mindcold.training.batch import Batch
from mindcold.training.export import export_adapter
from mindcold.training.layer import norm, norm_backward
from mindcold.training.lora import LoraSettings
from mindcold.training.loss import WHOLE_SLICE, HeadLoss
from mindcold.training.model import TrainingLM, initial_weights
from mindcold.training.run import StoredWeights
from mindcold.training.targets import IGNORED, Targets
from tests.folders import LLAMA, write_model

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
SHAPES = {
    "llama-tied-scaled": {"tie_word_embeddings": True, "rope_scaling": LLAMA3, "rope_theta": 5e5},
    "llama-biased-linear": {
        "attention_bias": True,
        "mlp_bias": True,
        "rope_scaling": {"rope_type": "linear", "factor": 2.5},
    },
    "mistral-window": {"model_type": "mistral", "sliding_window": 5, "head_dim": 12},
    "qwen2-tied": {"model_type": "qwen2", "tie_word_embeddings": True, "num_key_value_heads": 1},
    "qwen2-window-above": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 4,
        "max_window_layers": 1,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
}


ENDS = {
    "head, tied": ("llama-tied-scaled", ("q_proj", "lm_head"), ()),
    "head, untied": ("qwen3", ("lm_head",), ()),
    "saved head, tied": ("qwen2-tied", ("v_proj",), ("lm_head",)),
    "saved embedding, tied": ("llama-tied-scaled", ("up_proj",), ("embed_tokens",)),
    "saved embedding and an update of the head, tied": ("qwen2-tied", ("o_proj", "lm_head"), ("embed_tokens",)),
    "both saved, tied": ("llama-tied-scaled", ("down_proj",), ("embed_tokens", "lm_head")),
    "both saved, untied": ("mistral-window", "all-linear", ("lm_head", "model.embed_tokens")),
}
"""Shape, target_modules and modules_to_save of adapters that reach beyond the layers."""


def batch_of(tokens, labels=None, documents=None, scale=1.0, room=None):
    """A batch of rows with labels; none where they are left out."""
    tokens = np.asarray(tokens, np.int32)
    labels = np.full(tokens.shape, IGNORED, np.int32) if labels is None else labels
    documents = np.zeros(tokens.shape, np.int32) if documents is None else np.asarray(documents, np.int32)
    found = np.flatnonzero(labels != IGNORED)
    room = room or max(1, len(found))
    places, wanted = np.zeros(room, np.int32), np.full(room, IGNORED, np.int32)
    places[: len(found)], wanted[: len(found)] = found, labels.ravel()[found]
    return Batch(tokens, documents, places, Targets.of_labels(wanted), scale)


def taught(batch, rng, vocab):
    """The same places with four tokens that a teacher held likely at each, and shares that sum to 1."""
    shares = rng.dirichlet(np.ones(4), len(batch.places)) * batch.targets.shares
    tokens = np.array([rng.choice(vocab, 4, replace=False) for _ in batch.places], np.int32)
    return replace(batch, targets=Targets(tokens, shares.astype(np.float32)))


def randomised(network, rng, spread=0.2):
    """The network with random values in what it trains."""
    for item in network.trainable.values():
        item.set_data(ms.Tensor((spread * rng.standard_normal(item.shape)).astype(np.float32)))
    network.update([ms.Tensor(item.asnumpy()) for item in network.trainable.values()])
    return network


def random_weights(config, rng):
    """Weights far enough from zero that everything shows in the logits."""
    return {
        name: ((name.endswith("norm.weight")) + 0.3 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


@pytest.mark.parametrize("name", SHAPES)
def test_logits_equal_the_engine_with_and_without_adapter(tmp_path, name):
    folder = write_model(tmp_path / "model", **SHAPES[name])
    config = ModelConfig.from_folder(folder)
    checkpoint = Checkpoint(folder, config)
    weights = {name: checkpoint.tensor(name, shape) for name, shape in weight_shapes(config).items()}
    lora = LoraSettings(3, 6.0, "all-linear", dropout=0.5, rank_pattern={"q_proj": 2}, alpha_pattern={"up_proj": 9})
    rng = np.random.default_rng(0)
    adapted = randomised(TrainingLM(config, weights, lora), rng)
    export_adapter(adapted, config, "model", tmp_path / "adapter")
    llm = mindcold.load(folder, tmp_path / "adapter", backend="builtin")
    ids = rng.integers(3, config.vocab_size, (2, 9)).astype(np.int32)
    for network, adapter in ((adapted, "default"), (TrainingLM(config, weights), "base")):
        for row, prompt in zip(network.logits(batch_of(ids)), ids.tolist(), strict=True):
            expected = llm.logits(prompt, adapter=adapter)
            assert np.abs(row - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("case", ENDS)
def test_an_adapter_of_the_ends_is_decoded_with_the_logits_of_training(tmp_path, case):
    name, targets, saved = ENDS[case]
    folder = write_model(tmp_path / "model", **SHAPES[name])
    config = ModelConfig.from_folder(folder)
    weights = StoredWeights(folder, config)
    lora = LoraSettings(3, 6.0, targets, dropout=0.5, alpha_pattern={"lm_head": 9}, saved=saved)
    rng = np.random.default_rng(0)
    ids = rng.integers(3, config.vocab_size, (1, 9)).astype(np.int32)
    network = TrainingLM(config, weights, lora)
    plain = TrainingLM(config, weights).logits(batch_of(ids))
    np.testing.assert_allclose(network.logits(batch_of(ids)), plain, rtol=1e-5, atol=1e-5)  # what it starts from
    randomised(network, rng)
    export_adapter(network, config, "model", tmp_path / "adapter")
    llm = mindcold.load(folder, tmp_path / "adapter", backend="builtin")
    expected = llm.logits(ids[0].tolist(), adapter="default")
    found = network.logits(batch_of(ids))[0]
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(found - plain[0]).max() > 0.1 * np.abs(plain).max()


@pytest.mark.parametrize("teacher", [False, True])
@pytest.mark.parametrize(
    ("name", "lora"),
    [
        ("llama-biased-linear", None),
        ("qwen3", None),
        ("mistral-window", LoraSettings(2, 4.0, "all-linear", dropout=0.2)),
        ("qwen3", LoraSettings(2, 4.0, "all-linear", dropout=0.2)),
        *((name, LoraSettings(2, 4.0, targets, dropout=0.2, saved=saved)) for name, targets, saved in ENDS.values()),
    ],
)
def test_gradients_are_the_slopes_of_the_loss(name, lora, teacher):
    """Central differences of the loss itself along a random direction in every tensor, dropout included."""
    config = parse_config(LLAMA | SHAPES[name], "test")
    rng = np.random.default_rng(1)
    network = TrainingLM(config, random_weights(config, rng), lora)
    if lora is not None:
        randomised(network, rng)
    tokens = rng.integers(3, config.vocab_size, (2, 7)).astype(np.int32)
    labels = rng.integers(3, config.vocab_size, (2, 7)).astype(np.int32)
    labels[0, :2] = labels[1, 4:] = IGNORED
    batch = batch_of(tokens, labels, [[0, 0, 0, 1, 1, 1, 1], [0] * 7], scale=0.1, room=12)
    batch = taught(batch, rng, config.vocab_size) if teacher else batch
    _, gradients = network.gradients(batch)
    values = [item.asnumpy().copy() for item in network.trainable.values()]
    gradients = [item.asnumpy() for item in gradients]
    # float32 loses the slope of a single tensor where it is small, so small ones are moved together
    order = np.argsort([np.linalg.norm(item) for item in gradients])[::-1]
    groups = [*([place] for place in order[:6]), list(order[6:])]
    for group in filter(None, groups):
        moves = {place: rng.standard_normal(values[place].shape) * 0.5 + gradients[place] for place in group}
        step = 2e-3 / np.sqrt(sum((move**2).sum() for move in moves.values()))
        found = []
        for sign in (1, -1):
            moved = [
                value + np.float32(sign * step) * moves[place].astype(np.float32) if place in moves else value
                for place, value in enumerate(values)
            ]
            network.update(map(ms.Tensor, moved))
            found.append(float(network.gradients(batch)[0].asnumpy()))
        slope = (found[0] - found[1]) / (2 * step)
        expected = sum(float((gradients[place] * move).sum()) for place, move in moves.items())
        assert slope == pytest.approx(expected, rel=0.03, abs=0.02)


def test_the_scaled_loss_is_the_cross_entropy(config):
    rng = np.random.default_rng(2)
    network = TrainingLM(config, random_weights(config, rng))
    tokens, labels = (rng.integers(3, config.vocab_size, (2, 11)).astype(np.int32) for _ in range(2))
    labels[0, :4] = labels[1, 5:7] = IGNORED
    logits = network.logits(batch_of(tokens)).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(logs, np.maximum(labels, 0)[..., None], -1)[..., 0][labels != IGNORED].sum() * 0.25
    for room in (16, 20, WHOLE_SLICE * 2):  # places that are none, and more than one slice
        batch = batch_of(tokens, labels, scale=0.25, room=room)
        assert float(network.loss(batch).asnumpy()) == pytest.approx(expected, rel=1e-5)
        assert float(network.gradients(batch)[0].asnumpy()) == pytest.approx(expected, rel=1e-5)
        batch = taught(batch, rng, config.vocab_size)
        own = np.take_along_axis(logs.reshape(22, -1)[batch.places], batch.targets.tokens, 1)
        against = -(batch.targets.shares * own).sum() * 0.25
        assert float(network.loss(batch).asnumpy()) == pytest.approx(against, rel=1e-5)
        assert float(network.gradients(batch)[0].asnumpy()) == pytest.approx(against, rel=1e-5)


def test_the_first_losses_of_a_process_are_its_later_ones(config):
    """MindSpore tries out how to deal an operator out to threads: a new process computes as one that is warm."""
    rng = np.random.default_rng(10)
    network = TrainingLM(config, random_weights(config, rng))
    for place in (16, 17, 32, 33, 34, 35):  # those at the end of what a thread gets
        tokens, labels = (rng.integers(3, config.vocab_size, (3, 12)).astype(np.int32) for _ in range(2))
        batch = batch_of(tokens, labels)
        batch.targets.shares[np.arange(36) != place] = 0
        x = network._states(batch)
        cold = HeadLoss(network._head_plan(dropout=False), gradient=False)
        assert len({float(network._by_slice(cold, x, batch)[0].asnumpy()) for _ in range(20)}) == 1


def test_slices_and_empty_places_change_no_gradient(config):
    rng = np.random.default_rng(3)
    network = TrainingLM(config, random_weights(config, rng))
    tokens, labels = (rng.integers(3, config.vocab_size, (2, 11)).astype(np.int32) for _ in range(2))
    labels[0, :7] = IGNORED
    first, *others = (network.gradients(batch_of(tokens, labels, room=room))[1] for room in (15, 22, WHOLE_SLICE * 2))
    for other in others:
        for mine, its in zip(first, other, strict=True):
            np.testing.assert_allclose(its.asnumpy(), mine.asnumpy(), rtol=1e-4, atol=1e-5)


def test_documents_of_a_row_do_not_see_each_other(config):
    rng = np.random.default_rng(4)
    network = TrainingLM(config, random_weights(config, rng))
    first, second = rng.integers(3, config.vocab_size, (2, 6)).astype(np.int32)
    together = network.logits(batch_of([[*first, *second]], documents=[[0] * 6 + [1] * 6]))[0]
    apart = network.logits(batch_of([first, second]))
    np.testing.assert_allclose(together[:6], apart[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together[6:], apart[1], rtol=1e-4, atol=1e-4)  # rotary places are relative
    joined = network.logits(batch_of([[*first, *second]]))[0]
    assert np.abs(joined[6:] - apart[1]).max() > 0.1


def test_dropout_is_drawn_by_the_batch_number_and_is_off_in_evaluation(config):
    rng = np.random.default_rng(5)
    weights = random_weights(config, rng)
    lora = LoraSettings(2, 4.0, "all-linear", dropout=0.4)
    network = randomised(TrainingLM(config, weights, lora), np.random.default_rng(6))
    plain = randomised(TrainingLM(config, weights, replace(lora, dropout=0.0)), np.random.default_rng(6))
    tokens, labels = (rng.integers(3, config.vocab_size, (2, 11)).astype(np.int32) for _ in range(2))
    batch = batch_of(tokens, labels)
    found = [float(network.gradients(replace(batch, number=number))[0].asnumpy()) for number in (0, 1, 0)]
    assert found[0] == found[2] != found[1]
    assert float(network.loss(batch).asnumpy()) == float(plain.loss(batch).asnumpy())


def test_dropout_leaves_out_as_many_as_asked():
    from mindcold.training.linear import Linear, LinearPlan

    linear = Linear(LinearPlan(False, False, 2, 1.0, 0.3), 0, (8, 400))
    noise = np.random.default_rng(0).integers(-(2**31), 2**31, (300, 1)).astype(np.int32)
    mask = linear.mask((None, None, None, ms.Tensor(noise))).asnumpy()
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.7)}
    assert (mask == 0).mean() == pytest.approx(0.3, abs=0.005)
    for axis in (0, 1):  # no row and no column stands out
        assert np.abs((mask == 0).mean(axis) - 0.3).max() < 0.15
    assert np.corrcoef(mask).ravel()[1:300].std() < 0.1


def test_norm_and_its_gradient():
    rng = np.random.default_rng(7)
    x, dy, weight = rng.standard_normal((3, 8)), rng.standard_normal((3, 8)), rng.standard_normal(8)

    def y(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.1) * weight

    tensors = [ms.Tensor(item.astype(np.float32)) for item in (x, weight, dy)]
    np.testing.assert_allclose(norm(tensors[0], tensors[1], 0.1).asnumpy(), y(x, weight), rtol=1e-5, atol=1e-6)
    dx, dw = (item.asnumpy() for item in norm_backward(*tensors, 0.1))
    for i, j in np.ndindex(x.shape):
        moved = x.copy()
        moved[i, j] += 1e-6
        assert dx[i, j] == pytest.approx((dy * (y(moved, weight) - y(x, weight))).sum() / 1e-6, abs=1e-3)
    np.testing.assert_allclose(dw.sum(0), (dy * y(x, np.ones(8))).sum(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("targets", "saved", "norm"),
    [("all-linear", (), 0.03), (("q_proj", "lm_head"), ("embed_tokens",), 0.03), (("q_proj",), ("lm_head",), 0.03)],
)
def test_a_base_in_bfloat16_gives_nearly_the_loss_and_the_gradients(config, targets, saved, norm):
    rng = np.random.default_rng(8)
    weights = {
        name: value.astype(ml_dtypes.bfloat16).astype(np.float32) for name, value in random_weights(config, rng).items()
    }
    lora = LoraSettings(3, 6.0, targets, dropout=0.2, saved=saved)
    exact, rounded = (
        randomised(TrainingLM(config, weights, lora, dtype), np.random.default_rng(9))
        for dtype in ("float32", "bfloat16")
    )
    tokens, labels = (rng.integers(3, config.vocab_size, (4, 20)).astype(np.int32) for _ in range(2))
    batch = batch_of(tokens, labels, scale=1 / labels.size)
    (loss, mine), (expected, theirs) = rounded.gradients(batch), exact.gradients(batch)
    assert float(loss.asnumpy()) == pytest.approx(float(expected.asnumpy()), rel=5e-3)
    assert float(loss.asnumpy()) != float(expected.asnumpy())
    assert float(rounded.loss(batch).asnumpy()) == pytest.approx(float(exact.loss(batch).asnumpy()), rel=5e-3)
    flat = [np.concatenate([item.asnumpy().ravel() for item in side]) for side in (mine, theirs)]
    assert np.linalg.norm(flat[0] - flat[1]) < norm * np.linalg.norm(flat[1])


def test_too_long_a_row(config):
    network = TrainingLM(config, initial_weights(config, 0))
    with pytest.raises(TrainingError, match="max_position_embeddings 256"):
        network.loss(batch_of(np.zeros((1, 257))))
