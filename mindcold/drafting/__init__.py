"""Drafters: guesses at the next tokens, which one pass of the model then verifies."""

from mindcold.drafting.budget import Budget
from mindcold.drafting.drafter import Draft, Drafter
from mindcold.drafting.trigram import TrigramDrafter, TrigramTables

DRAFTS = ("none", "trigram")
"""Names of the `draft` keyword."""

__all__ = ["DRAFTS", "Budget", "Draft", "Drafter", "TrigramDrafter", "TrigramTables"]
