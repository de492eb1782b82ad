"""Drafters: trees of tokens that one pass of the model then verifies."""

from mindcold.drafting.budget import Budget
from mindcold.drafting.drafter import Draft, Drafter
from mindcold.drafting.ngram import NgramDrafter
from mindcold.drafting.trigram import (
    DRAFT_MODEL,
    TableKey,
    TrigramDrafter,
    TrigramTables,
)
from mindcold.ops.trigram_draft.bodies import Verified

__all__ = [
    "DRAFT_MODEL",
    "Budget",
    "Draft",
    "Drafter",
    "NgramDrafter",
    "TableKey",
    "TrigramDrafter",
    "TrigramTables",
    "Verified",
]
