"""LoRA adapters on the linear layers of a MindFormers network, several at once, each row with its own."""

from itertools import pairwise
from operator import attrgetter
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.adapter import Adapter, LoraPair
from mindcold.adapter_formats.layout import row_order, sizes
from mindcold.config import ModelConfig
from mindcold.mindformers.library import MindFormersError
from mindcold.mindformers.network import LEGACY, kind_of, naming_of, unwrapped
from mindcold.model.adapter_bank import BASE_ADAPTER


class GatedLinear(nn.Cell):
    """A linear layer with what adapters add to it: x [..., in] -> base(x) + low-rank part [..., out].

    `a` [ranks, in] and `b` [out, ranks] hold the pairs of all adapters side by side, `owner` int32 [ranks] says which
    line is whose. Row i of x, counted over its leading axes, has the adapter `ids[i]`; a row of the base gets zeros
    added. An activation that the base applies itself comes after the sum.
    """

    def __init__(self, base: nn.Cell, a: np.ndarray, b: np.ndarray, owner: np.ndarray, ids: ms.Parameter, where: str):
        super().__init__(auto_prefix=False)
        self.base, self.ids = base, ids
        self.a = ms.Parameter(ms.Tensor(a), name=f"{where}.a", requires_grad=False)
        self.b = ms.Parameter(ms.Tensor(b), name=f"{where}.b", requires_grad=False)
        self.owner = ms.Tensor(owner.reshape(1, -1))
        self.inner, self.outer = a.shape[1], b.shape[0]
        self.multiply = ops.MatMul(transpose_b=True)
        self.activated = bool(getattr(base, "activation_flag", False))
        if self.activated:
            self.activation = base.activation

    def construct(self, x: Any) -> Any:
        y = self.base(x)
        rows = x.reshape((-1, self.inner))
        low = self.multiply(rows, self.a.astype(x.dtype))
        low = ops.where(self.ids[: rows.shape[0]].reshape((-1, 1)) == self.owner, low, ops.zeros_like(low))
        y = y + self.multiply(low, self.b.astype(x.dtype)).reshape(y.shape).astype(y.dtype)
        return self.activation(y) if self.activated else y


class GatedLinears:
    """The adapters of a network's linear layers, and which of them each row has."""

    def __init__(self, network: Any, config: ModelConfig, adapters: list[Adapter], rows: int):
        """Put adapters on a network (see `Overlay.recorded`) for steps of up to `rows` rows; an adapter's id is its
        place.

        Raises MindFormersError for what has no place in the network: never is an adapter silently left out.
        """
        self._ids = ms.Parameter(
            ms.Tensor(np.full(rows, BASE_ADAPTER, np.int32)), name="mindcold.ids", requires_grad=False
        )
        for adapter in adapters:
            if adapter.replaced:
                raise MindFormersError(
                    f"adapter {adapter.name}: {next(iter(adapter.replaced))} is replaced as a whole, which a network "
                    "computing in place cannot do; use backend='engine'"
                )
        homeless = {module: adapter.name for adapter in adapters for module in adapter.pairs}
        for path, parent, name, members in _linears(network, config):
            base = getattr(parent, name)
            _check(path, base)
            gated = _gated(path, base, config, members, adapters, self._ids, naming_of(network)[1])
            if gated is not None:
                parent.insert_child_to_cell(name, gated)
                if gated.activated:
                    base.activation_flag = False
            for module in members:
                homeless.pop(module, None)
        if homeless:
            module, owner = next(iter(homeless.items()))
            raise MindFormersError(f"adapter {owner}: {module}: {type(network).__name__} has no such linear layer")

    def choose(self, ids: np.ndarray) -> None:
        """Say which adapter each row of the next step has, -1 for none; int32 [R]."""
        whole = np.full(self._ids.shape, BASE_ADAPTER, np.int32)
        whole[: len(ids)] = ids
        self._ids.set_data(ms.Tensor(whole))


def _linears(network: Any, config: ModelConfig) -> list[tuple[str, nn.Cell, str, tuple[str, ...]]]:
    """Path, parent, attribute and HuggingFace modules of each linear layer of a network."""
    network = unwrapped(network)
    (naming, _), owner = naming_of(network), network if kind_of(network) == LEGACY else network.model
    layers = attrgetter(naming.layers)(owner)
    if len(layers) != config.num_hidden_layers:
        raise MindFormersError(
            f"{type(network).__name__}: {len(layers)} of {config.num_hidden_layers} layers are here (pipeline "
            "parallel), which is not supported yet"
        )
    found: list[tuple[str, nn.Cell, str, tuple[str, ...]]] = [(naming.head, owner, naming.head, ("lm_head",))]
    for i in range(config.num_hidden_layers):
        for path, members in naming.linears.items():
            block, name = path.split(".")
            parent = getattr(layers[i], block)
            if hasattr(parent, name):
                modules = tuple(f"model.layers.{i}.{member}" for member in members)
                found.append((f"{naming.layers}.{i}.{path}", parent, name, modules))
    return found


def _check(path: str, base: nn.Cell) -> None:
    """Refuse a linear layer that a pair cannot simply be added to."""
    if hasattr(base, "mindpet_delta_lora_a"):
        raise MindFormersError(
            f"{path}: has LoRA of mindpet inside already; give the network without it and the adapter as a folder, "
            "or use backend='engine'"
        )
    if getattr(base, "tensor_parallel_group_size", 1) > 1:
        raise MindFormersError(f"{path}: is split over devices (tensor parallel), which is not supported yet")


def _gated(
    path: str,
    base: nn.Cell,
    config: ModelConfig,
    members: tuple[str, ...],
    adapters: list[Adapter],
    ids: ms.Parameter,
    layout: str,
) -> GatedLinear | None:
    """The layer with the pairs of all adapters for its members; None where there are none."""
    found: list[tuple[int, int, LoraPair]] = []
    for number, adapter in enumerate(adapters):
        found += [(number, at, adapter.pairs[part]) for at, part in enumerate(members) if part in adapter.pairs]
    if not found:
        return None
    fused = len(members) > 1
    local = tuple(member.split(".", 3)[3] for member in members) if fused else ()
    ends = np.cumsum([0, *sizes(config, local)]) if fused else np.array([0, found[0][2].b.shape[0]])
    starts = np.cumsum([0, *(pair.a.shape[0] for _, _, pair in found)])
    b = np.zeros((ends[-1], starts[-1]), np.float32)
    owner = np.empty(starts[-1], np.int32)
    for (number, at, pair), (start, end) in zip(found, pairwise(starts), strict=True):
        b[ends[at] : ends[at + 1], start:end] = pair.b
        owner[start:end] = number
    if fused:
        b = b[row_order(config, local, layout)]
    a = np.concatenate([pair.a for _, _, pair in found]).astype(np.float32)
    return GatedLinear(base, a, b, owner, ids, f"mindcold.{path}")
