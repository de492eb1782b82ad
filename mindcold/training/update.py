"""Gradients to new weights: summed over processes, clipped, AdamW; one graph."""

import mindspore as ms
from mindspore import nn, ops

from mindcold.training.schedule import learning_rates
from mindcold.training.settings import TrainingSettings


def adamw(parameters: list[ms.Parameter], settings: TrainingSettings) -> nn.Optimizer:
    """AdamW with the schedule of the settings; matrices decay, norms and biases do not."""
    groups = [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]
    rates = learning_rates(settings.learning_rate, settings.steps, settings.warmup_steps, settings.schedule)
    return nn.AdamWeightDecay([group for group in groups if group["params"]], learning_rate=rates, beta2=0.98)


class Update(nn.Cell):
    """construct(*gradients of `parameters`, in their order) -> their norm before clipping, then the new values.

    With `ranks` above 1 the gradients of all processes are added up first.
    """

    def __init__(self, parameters: list[ms.Parameter], optimizer: nn.Optimizer, clip_norm: float, ranks: int = 1):
        super().__init__(auto_prefix=False)
        self.optimizer, self.clip_norm, self.ranks = optimizer, clip_norm, ranks
        self.parameters = ms.ParameterTuple(parameters)
        places = {item.name: place for place, item in enumerate(parameters)}
        # the optimizer has them by group
        self.order = tuple(places[item.name] for item in optimizer.parameters)
        self.sizes = [item.size for item in parameters]
        self.shapes = [item.shape for item in parameters]
        if ranks > 1:
            self.reduce = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, *gradients):
        if self.ranks > 1:  # one message for all
            flat = self.reduce(ops.cat([item.reshape(-1) for item in gradients]))
            first = 0
            parts: tuple = ()
            for size, shape in zip(self.sizes, self.shapes):  # noqa: B905 - graph mode has no strict
                parts = (*parts, flat[first : first + size].reshape(shape))
                first += size
            gradients = parts
        total = ops.zeros((), ms.float32)
        for item in gradients:
            total = total + (item * item).sum()
        norm = ops.sqrt(total)
        factor = ops.minimum(self.clip_norm / (norm + 1e-6), 1.0)
        ordered: tuple = ()
        for place in self.order:
            ordered = (*ordered, gradients[place] * factor)
        done = self.optimizer(ordered)
        values: tuple = ()
        for item in self.parameters:
            values = (*values, ops.depend(item, done))
        return (ops.depend(norm, done), *values)


class Sum(nn.Cell):
    """construct(*items, *more of as many) -> their sums, one by one."""

    def construct(self, *items):
        half = len(items) // 2
        sums: tuple = ()
        for i in range(half):
            sums = (*sums, items[i] + items[half + i])
        return sums


class Reduce(nn.Cell):
    """construct(x float32 [n]) -> the sum over all processes."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.reduce = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, x):
        return self.reduce(x)
