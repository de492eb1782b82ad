"""trigram_draft: a bounded, adaptive trigram table with back-off, and the draft tree it proposes."""

from mindcold.ops import build, hybrid, registry
from mindcold.ops.trigram_draft.bodies import CppTrigram, PythonTrigram
from mindcold.ops.trigram_draft.lookup import AkgTrigramLookup, BuiltinTrigramLookup
from mindcold.ops.trigram_draft.reference import Table, best_first, bucket_of, lookup, update

operator = registry.Operator(
    "trigram_draft",
    best_first,
    (
        registry.Body("aot", CppTrigram, build.why_not),
        registry.Body("builtin", PythonTrigram, lambda: None),
    ),
)

lookup_operator = registry.Operator(
    "trigram_lookup",
    lookup,
    (
        registry.Body("akg", AkgTrigramLookup, hybrid.why_not, automatic=False),
        registry.Body("builtin", BuiltinTrigramLookup, lambda: None),
    ),
)

__all__ = ["Table", "best_first", "bucket_of", "lookup", "lookup_operator", "operator", "update"]
