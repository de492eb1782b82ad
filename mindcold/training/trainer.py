"""The training loop: AdamW, clipping, schedule, progress, checkpoints that a stopped run goes on from."""

import csv
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import dataset, nn, ops
from tqdm import tqdm

from mindcold.engine.runtime import LOCK
from mindcold.errors import TrainingError, one_line
from mindcold.files import atomic
from mindcold.ops import interrupts
from mindcold.training.data import TrainingSet
from mindcold.training.model import TrainingLM
from mindcold.training.schedule import warmup_cosine

CHECKPOINT = "checkpoint.safetensors"
LOSS_LOG = "loss.csv"


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Optimiser settings of one run."""

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    save_every: int = 200

    def __post_init__(self) -> None:
        for name in ("steps", "learning_rate", "clip_norm", "save_every"):
            if getattr(self, name) <= 0:
                raise TrainingError(f"{name}: a positive number is expected, found {getattr(self, name)}")
        if not 0 <= self.warmup_steps <= self.steps:
            raise TrainingError(f"warmup_steps: 0 to steps ({self.steps}) is expected, found {self.warmup_steps}")
        if self.weight_decay < 0:
            raise TrainingError(f"weight_decay: a number >= 0 is expected, found {self.weight_decay}")


class TrainStep(nn.Cell):
    """Forward, backward, clip and update in one graph: (tokens, labels) -> loss before the update, float32 scalar."""

    def __init__(self, network: TrainingLM, optimizer: nn.Optimizer, clip_norm: float):
        super().__init__(auto_prefix=False)
        self.network, self.optimizer, self.clip_norm = network, optimizer, clip_norm
        self.loss_and_gradients = ms.value_and_grad(network, None, optimizer.parameters)

    def construct(self, tokens, labels):
        loss, gradients = self.loss_and_gradients(tokens, labels)
        gradients = ops.clip_by_global_norm(gradients, self.clip_norm)
        return ops.depend(loss, self.optimizer(gradients))


def adamw(network: TrainingLM, settings: TrainingSettings) -> nn.Optimizer:
    """AdamW with warm-up and cosine; matrices decay, norms and biases do not."""
    parameters = network.trainable_params()
    groups = [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]
    rates = warmup_cosine(settings.learning_rate, settings.steps, settings.warmup_steps)
    return nn.AdamWeightDecay([group for group in groups if group["params"]], learning_rate=rates, beta2=0.98)


class Trainer:
    """One run in a folder: `train` starts it, or goes on where its checkpoint stopped."""

    def __init__(self, network: TrainingLM, data: TrainingSet, settings: TrainingSettings, folder: Path):
        ms.set_context(mode=ms.GRAPH_MODE)
        self.network, self.data, self.settings, self.folder = network, data, settings, folder
        self.optimizer = adamw(network, settings)
        self.step = TrainStep(network, self.optimizer, settings.clip_norm).set_train()
        self.losses: list[float] = []

    def train(self, resume: bool = False, until: int | None = None) -> list[float]:
        """Run to the last step (or to step `until`); the losses of all steps so far, in nats.

        Writes loss.csv and checkpoint.safetensors (network and optimiser) into the folder. Raises TrainingError when
        the loss is not finite; the last checkpoint stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume:
            self._restore()
        end = min(until or self.settings.steps, self.settings.steps)
        batches = dataset.GeneratorDataset(self.data, ["tokens", "labels"], shuffle=False).skip(len(self.losses))
        iterator = batches.create_tuple_iterator(num_epochs=1)
        with tqdm(total=end, initial=len(self.losses), unit="step", desc="train", disable=None) as bar:
            for tokens, labels in iterator:
                if len(self.losses) >= end:
                    break
                with LOCK, interrupts.held():
                    loss = float(self.step(tokens, labels).asnumpy())
                if not np.isfinite(loss):
                    raise TrainingError(
                        f"step {len(self.losses) + 1}: the loss is {loss}; lower learning_rate and resume"
                    )
                self.losses.append(loss)
                bar.update()
                bar.set_postfix(loss=f"{np.mean(self.losses[-50:]):.3f}")
                if len(self.losses) % self.settings.save_every == 0 or len(self.losses) == end:
                    self._save()
        return self.losses

    def _state(self) -> list[ms.Parameter]:
        """Everything a resumed run needs: weights that train, moments, step counter."""
        return [*self.network.trainable_params(), *self.optimizer.get_parameters()]

    def _save(self) -> None:
        state = {item.name: item for item in self._state()}
        rates = warmup_cosine(self.settings.learning_rate, self.settings.steps, self.settings.warmup_steps)
        # the log first: one that is ahead of the checkpoint is cut when the run goes on
        with atomic(self.folder / CHECKPOINT) as checkpoint:
            items = [{"name": name, "data": value} for name, value in state.items()]
            ms.save_checkpoint(items, str(checkpoint), format="safetensors")
            with atomic(self.folder / LOSS_LOG) as log, log.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["step", "loss", "learning_rate"])
                writer.writerows([i, f"{loss:.5f}", f"{rates[i - 1]:.3e}"] for i, loss in enumerate(self.losses, 1))

    def _restore(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            raise TrainingError(f"{path}: no such file; nothing to resume")
        try:
            saved = ms.load_checkpoint(str(path), format="safetensors")
        except (ValueError, RuntimeError, OSError) as error:
            raise TrainingError(f"{path}: not a checkpoint ({one_line(error)})") from None
        for item in self._state():
            if item.name not in saved or saved[item.name].shape != item.shape:
                raise TrainingError(f"{path}: {item.name}: missing or of another shape; the run had other settings")
            item.set_data(ms.Tensor(saved[item.name].asnumpy(), item.dtype))
        done = int(self.optimizer.global_step.asnumpy().reshape(-1)[0])
        with (self.folder / LOSS_LOG).open(encoding="utf-8") as file:
            self.losses = [float(row["loss"]) for row in csv.DictReader(file)][:done]
