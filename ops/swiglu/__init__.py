"""swiglu: the gated activation between the two halves of the MLP."""

from mindcold.ops import build, registry
from mindcold.ops.ascend import needs
from mindcold.ops.swiglu.aot import AotSwiGLU
from mindcold.ops.swiglu.ascend import AscendSwiGLU
from mindcold.ops.swiglu.builtin import BuiltinSwiGLU
from mindcold.ops.swiglu.reference import swiglu as reference

operator = registry.Operator(
    "swiglu",
    reference,
    (
        registry.Body("aot", AotSwiGLU, build.unavailable_reason, device="CPU"),
        registry.Body("ascend", AscendSwiGLU, needs("swiglu"), device="Ascend"),
        registry.Body("builtin", BuiltinSwiGLU, lambda: None),
    ),
)
