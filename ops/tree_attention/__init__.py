"""tree_attention: attention of a step's rows (chains or draft trees) over a pool of KV slots, appended in place."""

import mindspore as ms

from mindcold.ops import build, registry
from mindcold.ops.ascend import CACHES, needs
from mindcold.ops.tree_attention.aot import AotTreeAttention
from mindcold.ops.tree_attention.ascend import AscendTreeAttention
from mindcold.ops.tree_attention.builtin import BuiltinTreeAttention
from mindcold.ops.tree_attention.reference import tree_attention as reference

operator = registry.Operator(
    "tree_attention",
    reference,
    (
        registry.Body("aot", AotTreeAttention, build.unavailable_reason, device="CPU"),
        registry.Body("ascend", AscendTreeAttention, needs("fused_infer_attention_score"), device="Ascend"),
        registry.Body("builtin", BuiltinTreeAttention, lambda: None),
    ),
)


def cache_dtype(kept: str, backend: str = "auto") -> ms.Type:
    """The dtype in which the body takes keys and values, for weights that are kept so (see lora_linear.DTYPES)."""
    body = operator.choose(backend).name
    if body == "ascend":
        return CACHES[kept]
    return ms.bfloat16 if body == "aot" and kept == "bfloat16" else ms.float32
