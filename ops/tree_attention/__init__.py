"""tree_attention: attention of a step's rows (chains or draft trees) over a pool of KV slots, appended in place."""

from mindcold.ops import build, registry
from mindcold.ops.tree_attention.aot import AotTreeAttention
from mindcold.ops.tree_attention.builtin import BuiltinTreeAttention
from mindcold.ops.tree_attention.reference import tree_attention as reference

operator = registry.Operator(
    "tree_attention",
    reference,
    (
        registry.Body("aot", AotTreeAttention, lambda: registry.on_cpu() or build.unavailable_reason()),
        registry.Body("builtin", BuiltinTreeAttention, lambda: None),
    ),
)
