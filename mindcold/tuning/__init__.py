"""Decoding settings for one's own adapter, chosen on one's own data."""

from mindcold.tuning.grid import Grid
from mindcold.tuning.tuning import Tuning, check, tune

__all__ = ["Grid", "Tuning", "check", "tune"]
