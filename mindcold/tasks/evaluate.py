"""Every method on every item in turn: texts, scores, time and passes."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from mindcold.decoding import find
from mindcold.tasks.methods import MethodSpec
from mindcold.tasks.task import Item, Task


@dataclass(frozen=True, slots=True)
class Record:
    """What one method wrote for one item."""

    text: str
    token_ids: list[int]
    seconds: float
    """Wall time of the call."""
    target_passes: int
    draft_passes: int
    scores: dict[str, float]


@dataclass(slots=True)
class Evaluation:
    """The records of every method, in the order of the items."""

    task: Task
    items: list[Item]
    records: dict[str, list[Record]] = field(default_factory=dict)
    """Label of a method to a record per item."""

    @property
    def metrics(self) -> list[str]:
        """Names of the figures of the task, the main one first; none for a task of speed alone."""
        return list(next(iter(self.records.values()))[0].scores)

    def column(self, label: str, name: str) -> np.ndarray:
        """A figure of every item, float64 [items]: one of `metrics`, seconds, tokens, target_passes or draft_passes."""
        records = self.records[label]
        if name == "tokens":
            return np.array([len(record.token_ids) for record in records], np.float64)
        if name in self.metrics:
            return np.array([record.scores[name] for record in records])
        return np.array([getattr(record, name) for record in records], np.float64)

    def part(self, group: str) -> "Evaluation":
        """The same of one group of items."""
        kept = [i for i, item in enumerate(self.items) if item.group == group]
        records = {label: [found[i] for i in kept] for label, found in self.records.items()}
        return Evaluation(self.task, [self.items[i] for i in kept], records)

    def to_dict(self) -> list[dict[str, Any]]:
        """A dictionary per item with the record of every method, for JSON."""
        return [
            {"prompt": item.prompt, "answers": item.answers, "group": item.group}
            | {"methods": {label: asdict(found[i]) for label, found in self.records.items()}}
            for i, item in enumerate(self.items)
        ]


def evaluate(
    llm: Any,
    task: Task,
    items: list[Item],
    specs: Sequence[MethodSpec],
    *,
    chat: bool = True,
    max_new_tokens: int | None = None,
    keep_drafts: bool = False,
) -> Evaluation:
    """Run every method on every item, one text at a time, the first method of an item another one each time.

    Methods take turns, so that whatever else the machine does meets all alike. The items with the longest and the
    shortest prompt are decoded once before, unmeasured: graphs are compiled then. Drafts start untaught at every text
    unless `keep_drafts`, where they learn from the texts of all methods. `llm` is what `mindcold.load` returns; its
    errors end the run.
    """
    tokens = max_new_tokens or task.max_new_tokens
    result = Evaluation(task, items, {spec.label: [] for spec in specs})

    def decode(spec: MethodSpec, item: Item) -> Record:
        options: dict[str, Any] = {"max_new_tokens": tokens}
        if item.constraint is not None and find(spec.method).search.constrained:
            options["constraint"] = item.constraint
        prompt = [{"role": "user", "content": item.prompt}] if chat else f"{item.prompt}\n"
        if not keep_drafts:
            llm.forget_drafts()
        began = time.perf_counter()
        out = llm.generate(prompt, spec.method, **(options | spec.options))
        seconds = time.perf_counter() - began
        target, draft = out.stats.target_passes, out.stats.draft_passes
        return Record(out.text, list(out.token_ids), seconds, target, draft, task.score(item, out.text))

    by_length = sorted(items, key=lambda item: len(item.prompt))
    warm_up = by_length[-1:] + by_length[:1]
    total = (len(warm_up) + len(items)) * len(specs)
    with tqdm(total=total, unit="text", desc=task.name, disable=None) as bar:
        for item in warm_up:
            for spec in specs:
                decode(spec, item)
                bar.update()
        for i, item in enumerate(items):
            for j in range(len(specs)):
                spec = specs[(i + j) % len(specs)]
                result.records[spec.label].append(decode(spec, item))
                bar.update()
    return result
