"""rope: from the fused query, key and value projection to rotated heads."""

from mindcold.ops import build, registry
from mindcold.ops.ascend import needs
from mindcold.ops.rope.aot import AotRope
from mindcold.ops.rope.ascend import AscendRope
from mindcold.ops.rope.builtin import BuiltinRope
from mindcold.ops.rope.reference import rope as reference

operator = registry.Operator(
    "rope",
    reference,
    (
        registry.Body("aot", AotRope, build.unavailable_reason, device="CPU"),
        registry.Body("ascend", AscendRope, needs("rms_norm", "rotary_position_embedding"), device="Ascend"),
        registry.Body("builtin", BuiltinRope, lambda: None),
    ),
)
