"""Every method on every item in turn: texts, scores, time and passes."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from mindcold.decoding import KeptPrompts, find
from mindcold.errors import RequestError
from mindcold.request import Request
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
    drafted: int = 0
    accepted: int = 0
    weight_bytes: int = 0
    """Memory of the weights of all models it used."""
    kv_bytes: int = 0
    """Memory of the keys and values that were reserved for it."""


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
        """A figure of every item, float64 [items]: one of `metrics`, tokens, or a field of Record."""
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
    together: bool = False,
    title: str | None = None,
) -> Evaluation:
    """Run every method on every item, one text at a time, the first method of an item another one each time.

    Methods take turns, so that whatever else the machine does meets all alike. The items with the longest and the
    shortest prompt are decoded once before, unmeasured: graphs are compiled then. Drafts start untaught at every text
    unless `keep_drafts`, where every method has tables of its own that learn from text to text. Where the model keeps
    prompts (`prefix_cache`), it does so for every method apart: none finds the prompt of an item computed by another.
    `together` decodes all methods of an item in one call, for scores alone: `seconds` is then a part of the call, the
    same for all. `llm` is what `mindcold.load` returns; its errors end the run. `title` stands before the progress bar.
    """
    result = Evaluation(task, items, {spec.label: [] for spec in specs})
    by_length = sorted(items, key=lambda item: len(item.prompt))
    warm_up = [] if together else by_length[-1:] + by_length[:1]
    total = (len(warm_up) + len(items)) * len(specs)
    made = ItemDecoder(llm, task, specs, chat, max_new_tokens or task.max_new_tokens, keep_drafts)
    with closing(made) as decoder, tqdm(total=total, unit="text", desc=title or task.name, disable=None) as bar:
        for item in warm_up:
            for spec in specs:
                decoder.decode(item, spec)
                bar.update()
        decoder.forget()  # these items are among those that are measured
        for i, item in enumerate(items):
            if together:
                for spec, record in zip(specs, decoder.decode_together(item), strict=True):
                    result.records[spec.label].append(record)
                bar.update(len(specs))
                continue
            for j in range(len(specs)):
                spec = specs[(i + j) % len(specs)]
                result.records[spec.label].append(decoder.decode(item, spec))
                bar.update()
    return result


def options_of(item: Item, spec: MethodSpec, max_new_tokens: int) -> dict[str, Any]:
    """Keywords of `generate` for an item: the method's, with the item's constraint where the method searches by it."""
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens}
    if item.constraint is not None and (find(spec.method).search.constrained or spec.options.get("rerank")):
        options["constraint"] = item.constraint
    return options | spec.options


class ItemDecoder:
    """Decodes items of a task by methods, and keeps apart what their drafts learn."""

    def __init__(
        self, llm: Any, task: Task, specs: Sequence[MethodSpec], chat: bool, max_new_tokens: int, keep_drafts: bool
    ):
        self._llm, self._task, self._specs = llm, task, specs
        self._chat, self._tokens, self._keep = chat, max_new_tokens, keep_drafts
        self._tables: dict[str, Any] = {}
        self._prompts = {spec.label: KeptPrompts(llm.kept_prompts.slots) for spec in specs}
        self.forget()

    def forget(self) -> None:
        """Give every method new tables, and no prompts."""
        for spec in self._specs if self._keep else ():
            self._llm.forget_drafts()
            self._tables[spec.label] = self._llm.trigrams
        self.close()

    def close(self) -> None:
        """Give up the prompts that are kept."""
        for kept in self._prompts.values():
            kept.clear()

    def decode(self, item: Item, spec: MethodSpec) -> Record:
        """The text of one method."""
        if self._keep:
            self._llm.trigrams = self._tables[spec.label]
        else:
            self._llm.forget_drafts()
        former, self._llm.kept_prompts = self._llm.kept_prompts, self._prompts[spec.label]
        began = time.perf_counter()
        try:
            out = self._llm.generate(item.message(self._chat), spec.method, **options_of(item, spec, self._tokens))
        finally:
            self._llm.kept_prompts = former
        return self._record(item, out, time.perf_counter() - began)

    def decode_together(self, item: Item) -> list[Record]:
        """The texts of all methods, from one call."""
        self._llm.forget_drafts()
        prompt = item.message(self._chat)
        requests = [Request(prompt, spec.method, **options_of(item, spec, self._tokens)) for spec in self._specs]
        began = time.perf_counter()
        outs = self._llm.generate(requests)
        seconds = (time.perf_counter() - began) / len(outs)
        for out in outs:
            if out.stats.error:
                raise RequestError(out.stats.error)
        return [self._record(item, out, seconds) for out in outs]

    def _record(self, item: Item, out: Any, seconds: float) -> Record:
        stats, scores = out.stats, self._task.score(item, out.text)
        passes = stats.target_passes, stats.draft_passes, scores, stats.drafted, stats.accepted
        return Record(out.text, list(out.token_ids), seconds, *passes, stats.weight_bytes, stats.kv_bytes)
