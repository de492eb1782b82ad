"""The methods: each a point on the axes of the design, in one table."""

from dataclasses import dataclass
from typing import Protocol

from mindcold import sampling_params
from mindcold.decoding.forward import SequenceSpec, Steps
from mindcold.decoding.methods.beam_search import BeamSearch
from mindcold.decoding.methods.best_of import BestOf
from mindcold.decoding.methods.pair_contrast import PairContrast
from mindcold.decoding.methods.progressive_precision import ProgressivePrecision
from mindcold.decoding.methods.rollout_search import RolloutSearch
from mindcold.decoding.methods.speculative_search import SpeculativeRolloutSearch
from mindcold.decoding.methods.token_tree import TokenTree
from mindcold.decoding.request import Contrast, RequestState
from mindcold.engine import Sequence
from mindcold.errors import RequestError, shown
from mindcold.sampling_params import SamplingParams


class Search(Protocol):
    """How tokens are found: one request under way, as a generator."""

    keywords: frozenset[str]
    """Groups of keywords that are its own."""
    samples: bool
    """Whether it can draw tokens."""
    constrained: bool
    """Whether it asks what a text is worth even where nothing is forbidden."""
    branching: bool
    """Whether its sequences share slots."""
    tables: bool
    """Whether trigrams guess for it beside a model that drafts."""

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """The sequences it needs; all are open while it runs."""
        ...

    def __init__(self, state: RequestState, sequences: list[Sequence]): ...

    def steps(self) -> Steps:
        """Ask and decide without end; closed where the request ends."""
        ...


_TABLES = ("none", "trigram", "aded")
PLAIN, CONTRASTIVE, EITHER = "plain", "contrastive", "by the score keyword"


@dataclass(frozen=True, slots=True)
class Method:
    """What to score, what drafts, and how tokens are found."""

    name: str
    score: str = PLAIN
    search: type[Search] = TokenTree
    draft: str = "none"
    """Its own drafter; the `draft` keyword overrides it."""
    drafts: tuple[str, ...] = ("none", *sampling_params.DRAFTS)
    """Names `draft` may have."""
    models: bool = True
    """Whether it may also be "base" or a model folder."""
    sampled: bool = False
    """Draw from the scores unless `do_sample` says otherwise."""

    def contrast(self, params: SamplingParams) -> Contrast | None:
        """The contrast it scores by under these parameters."""
        contrastive = params.score == CONTRASTIVE if self.score == EITHER else self.score == CONTRASTIVE
        return Contrast(params.alpha, params.beta) if contrastive else None

    def check(self, params: SamplingParams) -> None:
        """Refuse a keyword that would mean nothing; RequestError names it and what has a use for it."""
        sampled = self.sampled if params.do_sample is None else params.do_sample
        draft = self.draft if params.draft is None else params.draft
        if sampled and not self.search.samples:
            raise RequestError(f"do_sample: method {self.name!r} takes the best, it does not draw")
        if params.repetition_penalty != 1.0 and not self.search.samples:
            raise RequestError(f"repetition_penalty: method {self.name!r} takes none")
        if draft not in self.drafts and (draft in ("none", *sampling_params.DRAFTS) or not self.models):
            known = ", ".join([*self.drafts, *(["base or a model folder"] if self.models else [])])
            raise RequestError(f"draft: {shown(draft)} is not one of {known} for method {self.name!r}")
        if params.draft_sample and (not sampled or params.draft_width > 1):
            raise RequestError("draft_sample: drafts are drawn for drawn tokens, with draft_width 1")
        groups = {sampling_params.ALWAYS, *(self.search.keywords - sampling_params.DRAFT_GROUPS)}
        groups |= self.search.keywords & sampling_params.draft_groups(draft)
        groups |= {sampling_params.DRAFT_ADAPTER} if "amateur" in self.search.keywords else set()
        groups |= {sampling_params.SCORE} if self.score == EITHER else set()
        groups |= {sampling_params.CONTRAST} if self.contrast(params) else set()
        groups |= {sampling_params.SAMPLING} if sampled else set()
        for name, group in params.given():
            if group not in groups:
                raise RequestError(f"{name}: method {self.name!r} has no use for it{_HINTS.get(group, '')}")


_HINTS = {
    sampling_params.SAMPLING: "; it draws with do_sample=True or method 'sample'",
    sampling_params.CONTRAST: "; method 'cold' contrasts, others with score='contrastive'",
    sampling_params.SCORE: "; its score is fixed",
    sampling_params.DRAFT: "; it drafts with draft='trigram'",
    sampling_params.MODEL_DRAFT: "; it drafts by a model with draft='FOLDER'",
    sampling_params.TABLES: "; it is of draft='trigram'",
    sampling_params.DRAFT_ADAPTER: "; it drafts by a model with draft='FOLDER'",
    sampling_params.WINDOW: "; it is of draft='lookahead'",
}

METHODS: dict[str, Method] = {}
"""Method by name."""


def register(method: Method) -> None:
    """Make a method known by its name."""
    METHODS[method.name] = method


def find(name: str) -> Method:
    """The method of this name; RequestError names the known ones."""
    if not isinstance(name, str) or name not in METHODS:
        raise RequestError(f"method: {shown(name)} is not one of {', '.join(METHODS)}")
    return METHODS[name]


for row in (
    #      name      score        search                     own draft
    Method("greedy", PLAIN, TokenTree),
    Method("sample", PLAIN, TokenTree, sampled=True),
    Method("cold", CONTRASTIVE, TokenTree),  # arXiv 2505.14620
    Method("aded", PLAIN, TokenTree, "trigram"),  # arXiv 2407.12021
    Method("lookahead", PLAIN, TokenTree, "lookahead"),  # arXiv 2402.02057
    Method("pmpd", EITHER, ProgressivePrecision),  # arXiv 2410.13461
    Method("scd", PLAIN, PairContrast, "amateur", drafts=("amateur", "none"), models=False),  # arXiv 2311.08981
    Method("beam", EITHER, BeamSearch, drafts=_TABLES),  # drafts: arXiv 2410.05165
    Method("best_of", EITHER, BestOf, drafts=("none",), models=False, sampled=True),
    Method("cdlh", EITHER, RolloutSearch, "trigram", _TABLES),  # arXiv 2402.06147
    Method("cdsl", EITHER, SpeculativeRolloutSearch, "trigram", _TABLES[1:]),  # arXiv 2412.10418
):
    register(row)
