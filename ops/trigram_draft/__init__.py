"""trigram_draft: a bounded, adaptive trigram table with back-off, and the draft tree it proposes."""

from mindcold.ops import build, registry
from mindcold.ops.trigram_draft.bodies import CppTrigram, PythonTrigram
from mindcold.ops.trigram_draft.reference import best_first
from mindcold.ops.trigram_draft.table import Table, bucket_of, update

operator = registry.Operator(
    "trigram_draft",
    best_first,
    (
        registry.Body("aot", CppTrigram, build.unavailable_reason),
        registry.Body("builtin", PythonTrigram, lambda: None),
    ),
)

__all__ = ["Table", "best_first", "bucket_of", "operator", "update"]
