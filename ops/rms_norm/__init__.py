"""rms_norm: root-mean-square normalisation of the rows of a step."""

from mindcold.ops import build, registry
from mindcold.ops.rms_norm.aot import AotRMSNorm
from mindcold.ops.rms_norm.builtin import BuiltinRMSNorm
from mindcold.ops.rms_norm.reference import rms_norm as reference

operator = registry.Operator(
    "rms_norm",
    reference,
    (
        registry.Body("aot", AotRMSNorm, lambda: registry.on_cpu() or build.why_not()),
        registry.Body("builtin", BuiltinRMSNorm, lambda: None),
    ),
)
