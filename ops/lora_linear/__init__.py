"""lora_linear: one reading of the base weight for all rows, and each row's own low-rank adapter on top."""

from mindcold.ops import build, registry
from mindcold.ops.ascend import needs
from mindcold.ops.lora_linear.aot import PackedWeight
from mindcold.ops.lora_linear.ascend import AscendWeight
from mindcold.ops.lora_linear.builtin import DenseWeight
from mindcold.ops.lora_linear.reference import DTYPES, PADDING, LowRank, restored, stored
from mindcold.ops.lora_linear.reference import lora_linear as reference

operator = registry.Operator(
    "lora_linear",
    reference,
    (
        registry.Body("aot", PackedWeight, build.unavailable_reason, device="CPU"),
        registry.Body("ascend", AscendWeight, needs("rms_norm"), device="Ascend"),
        registry.Body("builtin", DenseWeight, lambda: None),
    ),
)

__all__ = ["DTYPES", "PADDING", "LowRank", "operator", "reference", "restored", "stored"]
