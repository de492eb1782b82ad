"""contrastive_score: expert and base logits to masked scores, the chosen token and its log-probability."""

from mindcold.ops import build, hybrid, launcher, registry
from mindcold.ops.contrastive_score.akg import AkgContrastiveScore
from mindcold.ops.contrastive_score.aot import AotContrastiveScore
from mindcold.ops.contrastive_score.builtin import BuiltinContrastiveScore
from mindcold.ops.contrastive_score.npu import TritonContrastiveScore
from mindcold.ops.contrastive_score.reference import contrastive_score as reference

operator = registry.Operator(
    "contrastive_score",
    reference,
    (
        registry.Body("aot", AotContrastiveScore, build.unavailable_reason, device="CPU"),
        registry.Body("triton", TritonContrastiveScore, launcher.missing, device="Ascend", in_graph=False),
        registry.Body("akg", AkgContrastiveScore, hybrid.unavailable_reason, device="CPU", automatic=False),
        registry.Body("builtin", BuiltinContrastiveScore, lambda: None),
    ),
)
