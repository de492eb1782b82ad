"""How many tokens need the loaded weights: chosen on one half of the items, tested on the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindcold.tasks.evaluate import Evaluation
from mindcold.tasks.methods import MethodSpec, parse_method
from mindcold.tasks.statistics import ENOUGH, Estimate, difference, ratio


@dataclass(frozen=True, slots=True)
class PrecisionTuning:
    """A method beside its forms that go on in lower precision; the static scheduler of PMPD (arXiv 2410.13461)."""

    forms: list[MethodSpec]
    """By their high-precision tokens, ascending."""
    chosen_on: Evaluation
    """The method itself, then every form, on one half of the items."""
    chosen: MethodSpec
    tested_on: Evaluation
    """The method itself and the chosen form on the other half."""
    seed: int

    @property
    def change(self) -> Estimate:
        """Difference of the scores on the other half, the chosen form's less the method's, paired by item."""
        own, plain = (self._column(label, self.tested_on.metrics[0]) for label in (self.chosen.label, self._plain))
        return difference(own, plain, self.seed)

    @property
    def time(self) -> Estimate:
        """Ratio of the times there."""
        own, plain = (self._column(label, "seconds") for label in (self.chosen.label, self._plain))
        return ratio(own, plain, self.seed)

    @property
    def recommended(self) -> bool:
        """Whether the chosen form is faster beyond doubt, and not worse beyond doubt, on items enough to tell."""
        return self.time.high < 1 and self.change.high >= 0 and len(self.tested_on.items) >= ENOUGH

    @property
    def _plain(self) -> str:
        return next(iter(self.tested_on.records))

    def _column(self, label: str, name: str) -> np.ndarray:
        return self.tested_on.column(label, name)


def lowered(method: MethodSpec, steps: Sequence[int]) -> list[MethodSpec]:
    """Forms of a method that decide so many tokens with the loaded weights, ascending."""
    own = f",score=contrastive,{method.label.partition(':')[2]}" if method.options else ""
    return [parse_method(f"pmpd:high_precision_steps={count}{own}") for count in sorted(set(steps))]


def choose(found: Evaluation, forms: Sequence[MethodSpec]) -> MethodSpec:
    """The form of the fewest tokens whose score is that of the method or better, else the one with the best score."""
    plain, metric = next(iter(found.records)), found.metrics[0]
    scores = [float(found.column(form.label, metric).mean()) for form in forms]
    least = float(found.column(plain, metric).mean())
    kept = [form for form, score in zip(forms, scores, strict=True) if score >= least - 1e-9]
    return kept[0] if kept else forms[scores.index(max(scores))]
