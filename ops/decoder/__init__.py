"""decoder: all layers of a decoder over the rows of a step, as one operator where there is one."""

from mindcold.ops import build, registry
from mindcold.ops.decoder.aot import AotDecoder
from mindcold.ops.decoder.layers import DecoderStack, HeadShape, LayerParts, single
from mindcold.ops.decoder.reference import decoder as reference

operator = registry.Operator(
    "decoder",
    reference,
    (
        registry.Body("aot", AotDecoder, build.unavailable_reason, device="CPU"),
        registry.Body("ascend", single, lambda: None, device="Ascend"),
        registry.Body("builtin", single, lambda: None),
        registry.Body("single", single, lambda: None),
    ),
)

__all__ = ["DecoderStack", "HeadShape", "LayerParts", "operator", "reference"]
