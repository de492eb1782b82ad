"""Gradients to new weights: summed over processes, clipped, AdamW; one graph."""

from collections.abc import Sequence

import mindspore as ms
from mindspore import nn, ops

from mindcold.training.settings import TrainingSettings


def adamw(parameters: list[ms.Parameter], settings: TrainingSettings) -> nn.Optimizer:
    """AdamW with the schedule of the settings; matrices decay, norms and biases do not."""
    groups = [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]
    return nn.AdamWeightDecay(
        [group for group in groups if group["params"]], learning_rate=settings.rates(), beta2=0.98
    )


def _squares(x):
    return (x * x).sum()


def _times(factor, x):
    return x * factor


def _after(done, x):
    return ops.depend(x, done)


class _Step(nn.Cell):
    """construct(*gradients in the order of the optimizer) -> their norm before clipping, then the new values.

    Hundreds of tensors go through maps: MindSpore bounds the depth of a loop that is written out.
    """

    def __init__(self, optimizer: nn.Optimizer, clip_norm: float, ranks: int):
        super().__init__(auto_prefix=False)
        self.optimizer, self.clip_norm, self.ranks = optimizer, clip_norm, ranks
        self.parameters = optimizer.parameters
        self.each, self.add = ops.HyperMap(), ops.AddN()
        if ranks > 1:
            self.reduce = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, *gradients):
        if self.ranks > 1:
            gradients = self.each(self.reduce, gradients)
        norm = ops.sqrt(self.add(self.each(_squares, gradients)))
        factor = ops.minimum(self.clip_norm / (norm + 1e-6), 1.0)
        done = self.optimizer(self.each(ops.partial(_times, factor), gradients))
        return ops.depend(norm, done), self.each(ops.partial(_after, done), self.parameters)


class Update:
    """One update of `parameters` from their gradients; with `ranks` above 1 those of all processes are added up."""

    def __init__(self, parameters: list[ms.Parameter], optimizer: nn.Optimizer, clip_norm: float, ranks: int = 1):
        places = {item.name: place for place, item in enumerate(parameters)}
        self._order = [places[item.name] for item in optimizer.parameters]  # it has them by group
        self._step = _Step(optimizer, clip_norm, ranks)

    def __call__(self, gradients: Sequence[ms.Tensor]) -> tuple[ms.Tensor, list[ms.Tensor]]:
        """Norm of the gradients before clipping, float32 scalar, and the new values, both in the given order."""
        norm, found = self._step(*(gradients[place] for place in self._order))
        values = dict(zip(self._order, found, strict=True))
        return norm, [values[place] for place in range(len(values))]


class Reduce(nn.Cell):
    """construct(x float32 [n]) -> the sum over all processes."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.reduce = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, x):
        return self.reduce(x)
