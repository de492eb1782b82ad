"""The order of the texts that a search has found."""

from mindcold.constraints import ConstraintSet
from mindcold.decoding.request import Ranked


def rank(found: list[Ranked], states: list[ConstraintSet]) -> list[Ranked]:
    """The texts by what they are worth to the constraints, by their score where that is the same, then in order."""
    rewards = ConstraintSet.values(states)
    judged = [item._replace(reward=reward) for item, reward in zip(found, rewards, strict=True)]
    return sorted(judged, key=lambda item: (-(item.reward or 0.0), -item.score))
