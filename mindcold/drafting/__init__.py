"""Drafters: guesses at the next tokens, which one pass of the model then verifies."""

from mindcold.drafting.budget import Budget, StepCost
from mindcold.drafting.drafter import Draft, Drafter
from mindcold.drafting.trigram import ADAPTATIONS, SEARCHES, TrigramDrafter, TrigramTables

DRAFTS = ("none", "trigram")
"""Names of the `draft` keyword."""

__all__ = [
    "ADAPTATIONS",
    "DRAFTS",
    "SEARCHES",
    "Budget",
    "Draft",
    "Drafter",
    "StepCost",
    "TrigramDrafter",
    "TrigramTables",
]
