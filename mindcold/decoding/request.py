"""One request under way: what is to be decoded, what has been, and when it ends."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mindcold.constraints import ConstraintSet
from mindcold.decoding.sampling import Place, TokenFilter
from mindcold.drafting import Budget, Drafter, Verified
from mindcold.engine import Engine
from mindcold.errors import MindcoldError
from mindcold.model.adapter_bank import BASE_ADAPTER
from mindcold.sampling_params import SamplingParams

if TYPE_CHECKING:
    from mindcold.decoding.drafts.rollout import RolloutSource
    from mindcold.decoding.method import Method


class Contrast(NamedTuple):
    """Expert against amateur: alpha is the plausibility cut in (0, 1], beta >= 0 the strength of the contrast."""

    alpha: float
    beta: float


class Ranked(NamedTuple):
    """One of several texts that a search has found."""

    token_ids: list[int]
    logprobs: list[float]
    score: float
    """What it was ranked by without a reward: of beams sum / length ** length_penalty, of samples the mean."""
    reward: float | None = None
    """Value of the constraints, where that counts first."""


class SelectedToken(NamedTuple):
    """A token that is decided."""

    token: int
    logprob: float
    """Natural log of its probability under the score it was chosen by."""
    from_draft: bool = False


class StoppingCriterion(Protocol):
    """What ends a text beside its tokens, as stop strings do."""

    def __call__(self, token: int, last: bool) -> bool:
        """Told every new token and whether it is the last; gives whether the text ends here."""
        ...

    def fresh(self) -> "StoppingCriterion":
        """The same for another text from its beginning."""
        ...


@dataclass(slots=True, eq=False)
class RequestState:
    """A request the scheduler runs; methods read it and tell it what they decide."""

    index: int
    """Number of the prompt in the call; the random numbers depend on it."""
    engine: Engine
    prompt: list[int]
    method: "Method"
    params: SamplingParams
    adapter: int
    """Adapter id of the expert, -1 for the base."""
    eos: tuple[int, ...]
    max_new_tokens: int
    """What was asked for, or what the model's context leaves."""
    filter: TokenFilter
    """What may come."""
    contrast: Contrast | None = None
    """None scores the adapter alone; otherwise the base runs beside it as the amateur."""
    constraints: ConstraintSet | None = None
    """Where it stands under its constraints."""
    draft: str = "none"
    """Name of what drafts."""
    cumulative: bool = False
    """Whether its reward grows as the text grows."""
    drafter: Drafter | None = None
    """Drafts of the tokens themselves, and in searches of their roll-outs."""
    draft_budget: Budget | None = None
    """Chooses the size of drafts; shared by requests that are alike."""
    lower: Engine | None = None
    """The same model in lower precision, for what goes on in it."""
    rollouts: "RolloutSource | None" = None
    """What looks ahead for the target."""
    criterion: StoppingCriterion | None = None

    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    error: MindcoldError | None = None
    """Why it ended with finish_reason "error"."""
    target_passes: int = 0
    draft_passes: int = 0
    """Steps of the model that drafts or looks ahead."""
    weight_bytes: int = 0
    """Memory of the matrices of all models it uses."""
    kv_bytes: int = 0
    """Memory of the keys and values reserved for it."""
    drafted: int = 0
    accept_lengths: list[int] = field(default_factory=list)
    """How many passes accepted no draft token, one, two, ..."""
    drafting_seconds: float = 0.0
    """Time spent on drafts between the steps."""
    draft_cap: int | None = None
    """Draft nodes a step had room for, where that was fewer than asked for."""
    top_logprobs: list[list[tuple[int, float]]] = field(default_factory=list)
    """The best tokens of the place of each new token with their log-probabilities, where they were asked for."""
    ranked: list[Ranked] = field(default_factory=list)
    """All that a search has found, best first."""
    reward: float | None = None
    """Value of its constraints at the end."""
    unmet: list[str] = field(default_factory=list)
    """What of them is not met, in words."""
    sampled: bool = field(init=False)
    """Whether tokens are drawn instead of taking the best."""
    needs_scores: bool = field(init=False)
    """Whether tokens are chosen here, from the scores, rather than in the graph."""
    started: float = 0.0
    first_token: float = 0.0
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.sampled = self.method.sampled if self.params.do_sample is None else self.params.do_sample
        self.needs_scores = self.sampled or self.params.repetition_penalty != 1.0

    @property
    def stream_adapters(self) -> list[int]:
        """Adapter id of each stream: the expert, and the base beside it for a contrast."""
        return [self.adapter, BASE_ADAPTER] if self.contrast else [self.adapter]

    @property
    def size(self) -> int:
        """KV slots each of its streams needs."""
        return len(self.prompt) + self.max_new_tokens

    @property
    def context(self) -> list[int]:
        """Everything decided so far: prompt and new tokens."""
        return self.prompt + self.token_ids

    @property
    def room(self) -> int:
        """New tokens that may still come."""
        return self.max_new_tokens - len(self.token_ids)

    @property
    def accepted(self) -> int:
        """Draft tokens that were accepted."""
        return sum(length * passes for length, passes in enumerate(self.accept_lengths))

    def append(self, token: int) -> None:
        """Take a decided token, and end the request if it is the last."""
        now = time.perf_counter()
        if not self.token_ids:
            self.first_token = now
        self.ended = now
        self.token_ids.append(token)
        if self.constraints:
            self.constraints.advance(token)
        if token in self.eos or self.is_complete(self.constraints):
            self.finish("stop")
        elif not self.room:
            self.finish("length")
        if self.criterion and self.criterion(token, self.finish_reason is not None):
            self.finish("stop")

    @property
    def ends_by_constraint(self) -> bool:
        """Whether constraints say where a text ends, for no end-of-text can."""
        return self.filter.constrained and not self.eos

    def is_complete(self, constraints: ConstraintSet | None) -> bool:
        """Whether a text ends as it stands: its constraints let nothing follow, and no end-of-text can say so."""
        return bool(constraints and self.ends_by_constraint and constraints.complete())

    def finish(self, reason: str) -> None:
        """End the request: "stop" for end-of-text and stop strings, "length" for the limit."""
        self.finish_reason = reason

    def fail(self, error: MindcoldError) -> None:
        """End the request with an error of its own; others go on."""
        self.error, self.finish_reason = error, "error"

    def count_accepted(self, length: int) -> None:
        """Count a pass by the draft tokens it accepted."""
        self.accept_lengths += [0] * (length + 1 - len(self.accept_lengths))
        self.accept_lengths[length] += 1

    def teach(self, new: int, rows: Verified | None = None) -> None:
        """Let the drafter learn the last `new` tokens, and what the model said in the pass that decided them."""
        if self.drafter and new:
            began = time.perf_counter()
            self.drafter.observe(self.context, new, rows)
            self.drafting_seconds += time.perf_counter() - began

    @property
    def draft_size(self) -> int | None:
        """Nodes of every draft; None where what rows cost decides."""
        return (self.drafter.size if self.drafter else None) or self.params.draft_tokens

    def place(self, position: int | None = None, candidate: int = 0) -> Place | None:
        """Where a token is drawn, the next one by default; None where the best is taken."""
        if not self.sampled:
            return None
        return Place(self.index, len(self.token_ids) if position is None else position, candidate)

    @property
    def best(self) -> int:
        """How many of the best tokens of each verified place its drafter learns, or its user wants."""
        return max(self.drafter.best if self.drafter else 0, self.params.top_logprobs)

    def measure(self) -> None:
        """Take the value of the constraints at the end."""
        if self.constraints and not self.error:
            try:
                self.reward, self.unmet = self.constraints.value(), self.constraints.unmet()
            except MindcoldError as error:
                self.fail(error)
