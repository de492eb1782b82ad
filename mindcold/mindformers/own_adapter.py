"""The LoRA adapter that a MindFormers network carries itself, made by `get_pet_model`."""

import re
from typing import Any

from mindcold.adapter import Adapter
from mindcold.adapter_formats.fused_pair import members_of
from mindcold.adapter_formats.stored import StoredAdapter, StoredPair
from mindcold.config import ModelConfig
from mindcold.mindformers.library import MindFormersError
from mindcold.mindformers.network import floats, naming_of, unwrapped

_CELL = "LoRADense"
_LORA = re.compile(r"(?:^|[._])lora_(?!model\.)", re.IGNORECASE)


def own_adapter(network: Any, config: ModelConfig, name: str) -> Adapter:
    """The adapter in the network's LoRADense cells, as it is now; each has its alpha.

    Raises MindFormersError for values that are not finite.
    """
    naming, layout = naming_of(network)
    pairs = {}
    for path, cell in _cells(network).items():
        found = naming.parse(path)
        if found is None or found[0] is None:
            raise MindFormersError(f"{path}: a low-rank update of this layer is not supported")
        a, b = (floats(item, f"{path}.{item.name}") for item in (cell.mindpet_delta_lora_a, cell.mindpet_delta_lora_b))
        for member, pair in members_of(StoredPair(a, b, float(cell.scaling)), config, found[1], layout).items():
            pairs[f"model.layers.{found[0]}.{member}"] = pair
    return StoredAdapter(pairs, "F32").adapter(name)


def has_own_adapter(network: Any) -> bool:
    """Whether the network carries an adapter; MindFormersError for one of a kind that is not read."""
    paths = tuple(f"{path}." for path in _cells(network))
    for item in unwrapped(network).get_parameters():
        if _LORA.search(item.name) and not any(path in item.name for path in paths):
            raise MindFormersError(f"{item.name}: LoRA of this kind is not read; give the folder of the adapter")
    return bool(paths)


def _cells(network: Any) -> dict[str, Any]:
    """The adapted linear layers by their paths."""
    found = unwrapped(network).cells_and_names()
    return {path: cell for path, cell in found if type(cell).__name__ == _CELL}
