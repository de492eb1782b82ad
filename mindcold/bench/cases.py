"""Every way of decoding that is measured: one table of names and settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindcold.errors import RequestError
from mindcold.request import BASE


@dataclass(frozen=True, slots=True)
class Case:
    """Keywords of `generate`, and what the result is compared with."""

    settings: dict[str, Any]
    plain: str | None = None
    """Name of the same case without drafts."""
    warmed_up: bool = False
    """Draft tables are filled from training texts before each round; else each round starts with empty ones."""
    draft_model_alone: bool = False
    """The draft model itself is the model."""


TRIGRAM: dict[str, Any] = {"draft": "trigram"}
PUBLISHED: dict[str, Any] = {"method": "aded", "search": "mcts", "adaptation": "aded", "draft_tokens": 64}

METHODS = {
    "base greedy": Case({"method": "greedy", "adapter": BASE}),
    "LoRA greedy": Case({"method": "greedy"}),
    "CoLD": Case({"method": "cold"}),
}

DRAFTS = METHODS | {
    "trigram drafts (best first), warmed up": Case({"method": "greedy"} | TRIGRAM, "LoRA greedy", warmed_up=True),
    "trigram drafts (best first), cold start": Case({"method": "greedy"} | TRIGRAM, "LoRA greedy"),
    "ADED as published, warmed up": Case(PUBLISHED, "LoRA greedy", warmed_up=True),
    "ADED as published, cold start": Case(PUBLISHED, "LoRA greedy"),
    "CoLD + trigram drafts, warmed up": Case({"method": "cold"} | TRIGRAM, "CoLD", warmed_up=True),
    "CoLD + trigram drafts, cold start": Case({"method": "cold"} | TRIGRAM, "CoLD"),
}
"""ADED as published is its Monte Carlo search with 64 nodes and its update rule (arXiv 2407.12021)."""


def lookahead(draft: str) -> dict[str, Case]:
    """CDLH and CDSL with a draft model, beside what does without a reward.

    Thresholds that are not named are the defaults: tau_a 0.5, tau_r 1. All but "exhaustive" leave out candidates that
    cannot win.
    """
    settings: dict[str, dict[str, Any]] = {
        "LoRA greedy": {"method": "greedy"},
        "CoLD": {"method": "cold"},
        "beam of 4": {"method": "beam", "num_beams": 4},
        "CDLH": {"method": "cdlh"},
        "CDLH, exhaustive": {"method": "cdlh", "exhaustive": True},
        "CDLH, lookahead 0": {"method": "cdlh", "lookahead": 0},
        "CDSL": {},
        "CDSL, tau_a 0": {"tau_a": 0.0},
        "CDSL, tau_a 0.25": {"tau_a": 0.25},
        "CDSL, tau_r 0.5": {"tau_r": 0.5},
        "CDSL, tau_a 0, tau_r 0.5": {"tau_a": 0.0, "tau_r": 0.5},
        "CDSL, lookahead 0": {"lookahead": 0},
        "CDSL, base drafts": {"draft": "base"},
        "CDSL, trigram drafts": TRIGRAM,
        "CDSL, trigram drafts, tau_r 0.5": TRIGRAM | {"tau_r": 0.5},
        "CoLD + CDSL": {"score": "contrastive"},
    }
    cdsl = {"method": "cdsl", "draft": draft}
    cases = {name: Case(cdsl | own if "CDSL" in name else own, warmed_up=True) for name, own in settings.items()}
    return cases | {"draft model alone": Case({"method": "greedy"}, draft_model_alone=True)}


def select(cases: dict[str, Case], names: Sequence[str], always: Sequence[str]) -> dict[str, Case]:
    """Cases whose name holds one of `names`, what they are compared with, and `always`.

    No name selects all of them; RequestError where a name is in none.
    """
    holders = {name: {case for case in cases if name.lower() in case.lower()} for name in names}
    for name, found in holders.items():
        if not found:
            raise RequestError(f"--only: {name!r} is in none of: {'; '.join(cases)}")
    chosen = set().union(*holders.values()) if names else set(cases)
    chosen |= {plain for name in chosen if (plain := cases[name].plain)} | set(always)
    return {name: case for name, case in cases.items() if name in chosen}
