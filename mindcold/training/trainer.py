"""The training loop: steps, evaluations, and checkpoints that a run which was stopped or killed goes on from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np

from mindcold.engine.runtime import LOCK
from mindcold.errors import TrainingError
from mindcold.jobs.rank import Rank
from mindcold.ops import interrupts
from mindcold.training import checkpoint, loss_log
from mindcold.training.curves import Curves
from mindcold.training.data import TrainingSet
from mindcold.training.loss_log import LossLog
from mindcold.training.model import TrainingLM
from mindcold.training.progress import Progress
from mindcold.training.settings import TrainingSettings
from mindcold.training.sums import Sum
from mindcold.training.update import Reduce, Update, adamw


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a run has come."""

    losses: list[float]
    """Of the steps that are in its log, nats per label."""
    ended: bool
    """Whether nothing is left to do: the last step was made, or evaluations ended the run early."""
    best_step: int | None
    """Step of the lowest held-out loss, None where nothing is held out."""
    steps: int
    """Updates that were made, in all its parts."""


class Trainer:
    """One run in a folder. `train` begins it, or goes on with its checkpoint: bit by bit as if it had never stopped.

    `held_out` is evaluated as the settings say. `stopped` is asked between steps (and batches) whether to end now. In
    `curves`, where it is given, TensorBoard finds the losses. Of several processes, all of which see the same folder,
    the first writes.
    """

    def __init__(
        self,
        network: TrainingLM,
        data: TrainingSet,
        settings: TrainingSettings,
        folder: Path,
        held_out: TrainingSet | None = None,
        rank: Rank | None = None,
        stopped: Callable[[], bool] = lambda: False,
        curves: Path | None = None,
    ):
        self.network, self._data, self._settings, self.folder = network, data, settings, folder
        self._rank, self._stopped, self._curves = rank or Rank(), stopped, curves
        self._held_out = held_out.in_order()[self._rank.number :: self._rank.size] if held_out else None
        parameters = list(network.trainable.values())
        optimizer = adamw(parameters, settings)
        self._update = Update(parameters, optimizer, settings.clip_norm, self._rank.size)
        self._sum, self._reduce = Sum(), Reduce() if self._rank.size > 1 else None
        self._state = [*parameters, *optimizer.get_parameters()]
        self._rates = settings.rates()

    def forget(self) -> None:
        """Begin anew: remove the files of an earlier run."""
        for name in (checkpoint.LAST, checkpoint.BEST, loss_log.LOG, loss_log.PICTURE):
            (self.folder / name).unlink(missing_ok=True)

    def train(self, until: int | None = None) -> Outcome:
        """Run to the last step (or to step `until`), the end by evaluation, or a stop.

        Raises TrainingError when the loss is not finite; the last checkpoint stays.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        position, before, last = checkpoint.Position(), b"", self.folder / checkpoint.LAST
        if last.exists():
            position, before = checkpoint.read(last, self._state)
            self._refresh()
        end = min(until or self._settings.steps, self._settings.steps)
        first = self._rank.number == 0
        if first:
            for half in self.folder.glob("partial-*"):  # of a process that was killed while it wrote
                half.unlink()
        log = self._open_log(before, position.step) if first else None
        bar = Progress(self._settings.steps, position.step) if first else None
        saved = position.step
        try:
            while position.step < end and not position.ended_early and not (self._reduce is None and self._stopped()):
                made = self._step(position.step)
                if made is None:
                    break
                loss, norm, stop = made
                position.step += 1
                if log is not None and bar is not None:
                    rate = self._rates[position.step - 1]
                    log.add(step=position.step, loss=loss, learning_rate=rate, gradient_norm=norm)
                    bar.update(loss, self._data.labels(position.step - 1))
                if self._is_due(position.step, self._settings.evaluate_every):
                    self._evaluate(position, log, bar)
                if self._is_due(position.step, self._settings.save_every):
                    self._save(position, log)
                    saved = position.step
                if stop:
                    break
            if position.step > saved or position.ended_early:
                self._save(position, log)
        finally:
            for item in (log, bar):
                if item is not None:
                    item.close()
        records = log.records if log is not None else loss_log.read(self.folder / loss_log.LOG)
        if first:
            loss_log.draw(self.folder / loss_log.PICTURE, records, self.folder.absolute().parent.name)
        ended = position.ended_early or position.step >= self._settings.steps
        best = position.best_step if position.best_loss is not None else None
        return Outcome(list(loss_log.losses(records).values()), ended, best, position.step)

    def use_best(self) -> None:
        """Give the network the weights of the lowest held-out loss."""
        checkpoint.read(self.folder / checkpoint.BEST, self.network.trainable.values())
        self._refresh()

    def _open_log(self, before: bytes, step: int) -> LossLog:
        curves = Curves(self._curves, loss_log.parse(before), step) if self._curves is not None else None
        return LossLog(self.folder / loss_log.LOG, before, curves)

    def _is_due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self._settings.steps

    def _step(self, step: int) -> tuple[float, float, bool] | None:
        """Loss, norm of the gradients and whether to end after this step; None where it was given up on."""
        total, gradients = 0.0, None
        for batch in self._data.batches(step):
            if self._reduce is None and self._stopped():
                return None
            with LOCK, interrupts.held():
                loss, found = self.network.gradients(batch)
                gradients = found if gradients is None else list(self._sum(*gradients, *found))
                total += float(loss.asnumpy())
        stop = False
        if self._reduce is not None:  # all processes end after the same step
            total, asked = self._over_ranks(total, float(self._stopped()))
            stop = asked > 0
        if not math.isfinite(total):
            raise TrainingError(f"step {step + 1}: the loss is {total}; lower learning_rate and begin with --restart")
        with LOCK, interrupts.held():
            norm, values = self._update(gradients or [])
            self.network.update(values)
            return total, float(norm.asnumpy()), stop

    def _over_ranks(self, *numbers: float) -> list[float]:
        """The sums of numbers over all processes."""
        if self._reduce is None:
            return list(numbers)
        with LOCK, interrupts.held():
            return [float(item) for item in self._reduce(ms.Tensor(np.array(numbers, np.float32))).asnumpy()]

    def _evaluate(self, position: checkpoint.Position, log: LossLog | None, bar: Progress | None) -> None:
        """Held-out loss; the weights are kept if it is the lowest so far."""
        if self._held_out is None:
            return
        total = 0.0
        for batch in self._held_out:
            with LOCK, interrupts.held():
                total += float(self.network.loss(batch).asnumpy())
        loss = self._over_ranks(total)[0]
        if position.best_loss is None or loss < position.best_loss:
            position.best_loss, position.best_step, position.worse = loss, position.step, 0
            if log is not None:
                checkpoint.write(self.folder / checkpoint.BEST, self.network.trainable.values(), position)
        else:
            position.worse += 1
        position.ended_early = self._settings.patience is not None and position.worse >= self._settings.patience
        if log is not None and bar is not None:
            log.add(step=position.step, held_out_loss=loss)
            bar.say(f"step {position.step}: held-out loss {loss:.4f}, lowest at step {position.best_step}")

    def _save(self, position: checkpoint.Position, log: LossLog | None) -> None:
        if log is not None:
            log.synchronise()
            checkpoint.write(self.folder / checkpoint.LAST, self._state, position, log.content.encode())

    def _refresh(self) -> None:
        """Give the network the values of its parameters."""
        self.network.update(ms.Tensor(item.asnumpy().copy()) for item in self.network.trainable.values())
