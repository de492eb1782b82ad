"""The engine: token ids in, scored token ids out; it knows sequences, rows and adapters, and no method's name."""

from mindcold.engine.engine import Engine, NetworkFactory, StepOutput
from mindcold.engine.host_network import HostCache, HostNetwork
from mindcold.engine.runtime import LOCK, choose_device
from mindcold.engine.sequence import Sequence
from mindcold.engine.step_cost import StepCost
from mindcold.engine.step_plan import MAX_ROWS, StepPlan

__all__ = [
    "LOCK",
    "MAX_ROWS",
    "Engine",
    "HostCache",
    "HostNetwork",
    "NetworkFactory",
    "Sequence",
    "StepCost",
    "StepOutput",
    "StepPlan",
    "choose_device",
]
