"""Alpha, beta and drafts for an adapter: chosen on one half of the items, tested on the other.

The best of many settings on the same items flatters itself, so what is reported for it comes from items that had no
part in the choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mindcold.decoding_defaults import KEYWORDS, DecodingDefaults
from mindcold.errors import RequestError
from mindcold.tasks.evaluate import Evaluation, evaluate
from mindcold.tasks.methods import MethodSpec, parse_method
from mindcold.tasks.statistics import ENOUGH, Estimate, difference, ratio
from mindcold.tasks.task import Item, Task
from mindcold.tuning import precision
from mindcold.tuning.grid import GREEDY, Grid
from mindcold.tuning.precision import PrecisionTuning


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was tried, and what follows."""

    grid: Grid
    chosen_on: Evaluation
    """Greedy and every setting on one half of the items."""
    best: MethodSpec
    """The setting with the best score there."""
    tested_on: Evaluation
    """Greedy and the best setting on the other half."""
    gain: Estimate
    """Difference of their scores, paired by item."""
    drafts: Evaluation | None
    """The recommended method without and with drafts on that half, the undrafted one first."""
    seed: int
    precision: PrecisionTuning | None = None
    """The recommended method with fewer and fewer tokens by the loaded weights, None where that was not tried."""

    @property
    def metric(self) -> str:
        """Name of the score."""
        return self.chosen_on.metrics[0]

    @property
    def wins(self) -> bool:
        """Whether the best setting is better than greedy beyond doubt."""
        return self.gain.low > 0 and len(self.tested_on.items) >= ENOUGH

    @property
    def verdict(self) -> str:
        """What is recommended and why, in one sentence."""
        interval = "the 95 % interval of its difference to greedy on items it was not chosen on"
        if self.wins:
            return f"{self.best.label} is recommended: {interval} lies above zero"
        if len(self.tested_on.items) < ENOUGH:
            count = len(self.tested_on.items)
            return f"plain greedy is recommended: {count} items to test on are too few to tell, {ENOUGH} are needed"
        return f"plain greedy is recommended, not {self.best.label}: {interval} does not lie above zero"

    @property
    def method(self) -> MethodSpec:
        """The recommended method, without drafts."""
        if self.precision and self.precision.recommended:
            return self.precision.chosen
        return self.best if self.wins else GREEDY

    def draft(self) -> MethodSpec | None:
        """The drafted form of the method to recommend, None where drafts do not pay or were not tried.

        A form pays where it writes the same texts and the interval of its time by the undrafted one's is below 1. A
        fixed size of the trees is taken only where the same holds against the size that adapts itself.
        """
        if self.drafts is None:
            return None
        plain, adaptive, *sized = self.drafts.records
        found = adaptive if self._faster(adaptive, plain) else None
        for label in sorted(sized, key=lambda label: self.drafts.column(label, "seconds").sum()):  # type: ignore[union-attr]
            if self._faster(label, found or plain):
                found = label
                break
        return parse_method(found) if found else None

    def _faster(self, label: str, other: str) -> bool:
        assert self.drafts is not None
        texts = [[record.token_ids for record in self.drafts.records[name]] for name in (label, other)]
        times = [self.drafts.column(name, "seconds") for name in (label, other)]
        return texts[0] == texts[1] and ratio(times[0], times[1], self.seed).high < 1

    @property
    def defaults(self) -> DecodingDefaults:
        """The recommendation as decoding defaults, what it was tuned on not yet in."""
        drafted = self.draft()
        draft = None if self.drafts is None else "trigram" if drafted else "none"
        size = drafted.options.get("draft_tokens") if drafted else None
        own: dict[str, Any] = {name: value for name, value in self.method.options.items() if name in KEYWORDS}
        return DecodingDefaults(self.method.method, **own | {"draft": draft, "draft_tokens": size})


def tune(
    llm: Any,
    task: Task,
    items: Sequence[Item],
    grid: Grid,
    *,
    chat: bool = True,
    max_new_tokens: int | None = None,
    drafts: Sequence[int] | None = (),
    high_precision_steps: Sequence[int] = (),
    seed: int = 0,
) -> Tuning:
    """Try the grid on one half of the items and its best setting on the other; then lower precision and drafts with it.

    `drafts` are sizes of trees to try beside the one that adapts itself, None for no drafts; `high_precision_steps` how
    many tokens the loaded weights may decide before lower ones go on, none to leave that out. `llm` is what
    `mindcold.load` returns, with the adapter as its first. Raises RequestError for what `check` refuses.
    """
    check(task, items)
    first, second = halves(items)
    settings: dict[str, Any] = {"chat": chat, "max_new_tokens": max_new_tokens}
    specs = grid.specs()
    chosen_on = evaluate(llm, task, first, [GREEDY, *specs], together=True, title="grid", **settings)
    best = choose(chosen_on, specs)
    tested_on = evaluate(llm, task, second, [GREEDY, best], title="test", **settings)
    metric = chosen_on.metrics[0]
    columns = [tested_on.column(spec.label, metric) for spec in (best, GREEDY)]
    found = Tuning(grid, chosen_on, best, tested_on, difference(columns[0], columns[1], seed), None, seed)
    if high_precision_steps:
        forms = precision.lowered(found.method, high_precision_steps)
        tried = evaluate(llm, task, first, [found.method, *forms], together=True, title="precision", **settings)
        chosen = precision.choose(tried, forms)
        timed = evaluate(llm, task, second, [found.method, chosen], title="test", **settings)
        found = replace(found, precision=PrecisionTuning(forms, tried, chosen, timed, seed))
    if drafts is None:
        return found
    forms = [found.method, *drafted(found.method, drafts)]
    timed = evaluate(llm, task, second, forms, keep_drafts=True, title="drafts", **settings)
    return replace(found, drafts=timed)


def check(task: Task, items: Sequence[Item]) -> None:
    """Refuse a task that has no score, and a single item; RequestError says why."""
    if len(items) < 2:
        raise RequestError("--limit: two items at least are needed, one to choose on and one to test on")
    if not task.score(items[0], ""):
        raise RequestError(f"task: {task.name!r} has no score to choose settings by")


def halves(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Two halves in the order of the items, with every group in both."""
    by_group = sorted(range(len(items)), key=lambda i: items[i].group)
    chosen, tested = sorted(by_group[::2]), sorted(by_group[1::2])
    return [items[i] for i in chosen], [items[i] for i in tested]


def choose(found: Evaluation, specs: Sequence[MethodSpec]) -> MethodSpec:
    """The setting with the best score, of equal ones by the task's other figures, then the first."""
    return max(
        specs, key=lambda spec: tuple(round(float(found.column(spec.label, m).mean()), 9) for m in found.metrics)
    )


def drafted(method: MethodSpec, sizes: Sequence[int]) -> list[MethodSpec]:
    """A method with drafts: trees that adapt their size first, then those of fixed sizes."""
    start = f"{method.label}{',' if method.options else ':'}draft=trigram"
    return [parse_method(start), *(parse_method(f"{start},draft_tokens={size}") for size in sizes)]
