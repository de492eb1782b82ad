"""The engine: token ids in, scored token ids out; it knows slots, rows and streams, and no method's name."""

from mindcold.engine.engine import Engine, Scored
from mindcold.engine.pool import Slot
from mindcold.engine.step_plan import StepPlan

__all__ = ["Engine", "Scored", "Slot", "StepPlan"]
