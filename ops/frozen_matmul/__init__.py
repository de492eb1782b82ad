"""frozen_matmul: many rows by a matrix in bfloat16, forward or (with the transposed matrix) backward."""

from mindcold.ops import registry
from mindcold.ops.frozen_matmul.aot import AotFrozenMatmul, unavailable_reason
from mindcold.ops.frozen_matmul.builtin import BuiltinFrozenMatmul
from mindcold.ops.frozen_matmul.reference import frozen_matmul as reference

operator = registry.Operator(
    "frozen_matmul",
    reference,
    (
        registry.Body("aot", AotFrozenMatmul, unavailable_reason, device="CPU"),
        registry.Body("builtin", BuiltinFrozenMatmul, lambda: None),
    ),
)
