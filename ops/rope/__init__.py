"""rope: from the fused query, key and value projection to rotated heads."""

from mindcold.ops import build, registry
from mindcold.ops.rope.aot import AotRope
from mindcold.ops.rope.builtin import BuiltinRope
from mindcold.ops.rope.reference import rope as reference

operator = registry.Operator(
    "rope",
    reference,
    (
        registry.Body("aot", AotRope, lambda: registry.on_cpu() or build.unavailable_reason()),
        registry.Body("builtin", BuiltinRope, lambda: None),
    ),
)
