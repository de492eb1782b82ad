"""What MindFormers' formats have in common: two tensors for each linear layer, fused or not, one rank and one alpha."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mindcold.adapter_formats.format import Destination, Written
from mindcold.adapter_formats.fused_pair import fused, members_of
from mindcold.adapter_formats.naming import Naming
from mindcold.adapter_formats.saving import Content
from mindcold.adapter_formats.scaling import Scaling, read_scaling
from mindcold.adapter_formats.source import Source
from mindcold.adapter_formats.stored import StoredAdapter, StoredPair
from mindcold.adapter_formats.writing import as_stored, with_one_rank, with_one_scaling
from mindcold.config import ModelConfig
from mindcold.errors import AdapterError, shown
from mindcold.model.shapes import linear_shapes

HINT = "this adapter was made for another base model, or is one rank's part of it; merge the parts first"
LAYOUT = "lora_layout"
"""Key of the safetensors metadata that says the layout of an adapter we wrote."""


@dataclass(frozen=True, slots=True)
class MindFormersFormat:
    """Tensors `<linear layer><end>`: A [rank, in] and B [out, rank]; the update is alpha / rank * B A."""

    name: str
    naming: Naming
    ends: tuple[tuple[str, str], ...]
    """Ends of the names of A and B, those that are written first."""
    layouts: tuple[str, ...]
    save: Callable[[Content, Destination], None]
    head: bool = True
    """Whether MindFormers can adapt the head."""

    @property
    def example(self) -> str:
        """The end of a tensor's name."""
        return next(iter(self.naming.written())) + self.ends[0][0]

    def _parse(self, name: str) -> tuple[str, int] | None:
        """Path of the linear layer and side (0 for A, 1 for B) of a tensor's name."""
        for pair in self.ends:
            for side, end in enumerate(pair):
                if name.endswith(end):
                    return name.removesuffix(end), side
        return None

    def is_lora(self, name: str) -> bool:
        """Whether the name ends as those of this format do."""
        return self._parse(name) is not None

    def claims(self, names: frozenset[str]) -> bool:
        """Whether a tensor is that of a linear layer under its name here."""
        found = map(self._parse, names)
        return any(item is not None and self.naming.parse(item[0]) is not None for item in found)

    def read(self, source: Source, config: ModelConfig, layout: str | None, lora_alpha: float | None) -> StoredAdapter:
        """All pairs in the file; other tensors, those of the base and the optimizer among them, are not looked at."""
        layers = self._layers(source, config)
        used = [name for pair in layers.values() for name in pair]
        first = used[0]
        for name in used:
            if source.dtype([name]) != source.dtype([first]):
                raise source.fail(
                    name, f"dtype {source.dtype([name])}, but {first} is {source.dtype([first])}; use one dtype"
                )
        scaling = read_scaling(source, lora_alpha)
        layout = self._layout(source, layout)
        pairs: dict[str, StoredPair] = {}
        rank = scaling.rank or _rank(source, first)
        for path, names in layers.items():
            found = self.naming.parse(path)
            assert found is not None
            number, members = found
            whole = _pair(source, names, config, members, rank, scaling)
            for member, pair in members_of(whole, config, members, layout).items():
                module = member if number is None else f"model.layers.{number}.{member}"
                if module in pairs:
                    raise source.fail(names[0], f"{module} is adapted twice, alone and as a part of a fused layer")
                pairs[module] = pair
        return StoredAdapter(pairs, source.dtype(used))

    def _layers(self, source: Source, config: ModelConfig) -> dict[str, tuple[str, str]]:
        """Path of every adapted linear layer to the names of its A and B."""
        found: dict[str, dict[int, str]] = {}
        for name in sorted(source.files):
            parsed = self._parse(name)
            if parsed is None or _is_state(name, source):
                continue
            path, side = parsed
            layer = self.naming.parse(path)
            if layer is None:
                raise source.fail(name, f"a low-rank update of {path} is not supported, only of linear layers")
            if layer[0] is not None and layer[0] >= config.num_hidden_layers:
                raise source.fail(name, f"this base model has {config.num_hidden_layers} layers")
            if side in found.setdefault(path, {}):
                raise source.fail(name, f"{found[path][side]} is the same matrix under another name")
            found[path][side] = name
        if not found:
            raise AdapterError(f"{source.path}: holds no tensor of the {self.name} format, like ...{self.example}")
        for path, sides in found.items():
            if len(sides) == 1:
                raise source.fail(*_unpaired(path, sides))
        self._refuse_part(source, config, found)
        return {path: (sides[0], sides[1]) for path, sides in found.items()}

    def _refuse_part(self, source: Source, config: ModelConfig, found: dict[str, dict[int, str]]) -> None:
        """A whole checkpoint has all layers of the base; one stage of a pipeline has not, and no adapter for them."""
        if not any(f"{path}.weight" in source.files for path in found):
            return
        present = {self.naming.layer_of(name) for name in source.files} - {None}
        missing = sorted(set(range(config.num_hidden_layers)) - present)
        if missing:
            raise AdapterError(
                f"{source.path}: has no layer {missing[0]} of {config.num_hidden_layers}; it is one stage of a "
                "pipeline, or of another base model; merge the ranks' checkpoints first"
            )

    def _layout(self, source: Source, layout: str | None) -> str:
        noted = source.note(LAYOUT)
        if noted is not None and noted not in self.layouts:
            raise AdapterError(
                f"{source.path}: metadata {LAYOUT}: {shown(noted)} is not one of {', '.join(self.layouts)}"
            )
        if layout is not None and noted is not None and layout != noted:
            raise AdapterError(f"layout: {layout!r} was given, but {source.path} says {shown(noted)}; leave it out")
        return layout or noted or self.layouts[0]

    def write(self, adapter: StoredAdapter, config: ModelConfig, destination: Destination) -> Written:
        """One rank for all layers, as MindFormers has it: smaller ones are filled up with zeros."""
        if adapter.replaced:
            module = next(iter(adapter.replaced))
            raise AdapterError(f"{module}: the adapter replaces its whole weight, which only the peft format can hold")
        if "lm_head" in adapter.pairs and not self.head:
            raise AdapterError(f"lm_head: MindFormers would lose its update in the {self.name} format; use another")
        layout = destination.layout or self.layouts[0]
        pairs = with_one_scaling(adapter.pairs)
        own = {self.naming.head: pairs["lm_head"]} if "lm_head" in pairs else {}
        stacked = []
        for number in range(config.num_hidden_layers):
            for path, members in self.naming.written().items():
                parts = {m: pairs[key] for m in members if (key := f"model.layers.{number}.{m}") in pairs}
                if not parts:
                    continue
                whole = f"{self.naming.layers}.{number}.{path}"
                own[whole], is_stacked = fused(parts, config, members, layout)
                stacked += [whole] if is_stacked else []
        own, rank, alpha = with_one_rank(own)
        end_a, end_b = self.ends[0]
        tensors: dict[str, np.ndarray] = {}
        for path, pair in own.items():
            tensors |= {path + end_a: pair.a, path + end_b: pair.b}
        leaves = sorted({path.rsplit(".", 1)[-1] for path in own})
        notes = {LAYOUT: layout} if any(len(members) > 1 for members in self.naming.written().values()) else {}
        self.save(Content(as_stored(tensors, adapter.dtype), notes, rank, alpha, leaves), destination)
        return Written(rank, alpha, tuple(stacked))


def _is_state(name: str, source: Source) -> bool:
    """Whether this is what an optimizer keeps of a parameter: some word, then the name of a tensor in the file."""
    return "." in name and name.split(".", 1)[1] in source.files


def _unpaired(path: str, sides: dict[int, str]) -> tuple[str, str]:
    (side, name) = next(iter(sides.items()))
    return name, f"matrix {'BA'[side]} of {path} is missing"


def _rank(source: Source, name: str) -> int:
    """Rows of a matrix A."""
    shape = source.files[name].shape(name)
    if len(shape) != 2 or not 1 <= shape[0] <= 65536:
        raise source.fail(name, f"shape {list(shape)}, but [rank, in] is expected")
    return shape[0]


def _pair(
    source: Source, names: tuple[str, str], config: ModelConfig, members: tuple[str, ...], rank: int, scaling: Scaling
) -> StoredPair:
    """A and B of one layer, checked against the base and the rank."""
    shapes = linear_shapes(config)
    known = [shapes.get(f"model.layers.0.{member}") or shapes[member] for member in members]
    found = _rank(source, names[0])
    if found != rank:
        says = f"{source.config_file.name} says r = {rank}" if scaling.rank else f"others have rank {rank}"
        raise source.fail(names[0], f"rank {found}, but {says}")
    a = source.files[names[0]].tensor(names[0], (rank, known[0][1]), HINT)
    b = source.files[names[1]].tensor(names[1], (sum(out for out, _ in known), rank), HINT)
    return StoredPair(a, b, scaling.of_rank(rank))
