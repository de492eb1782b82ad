"""What drafts gain: time per token and per answer, passes and acceptance."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mindcold.bench.cases import Case
from mindcold.bench.generations import Rounds, milliseconds, per_token
from mindcold.bench.items import Item
from mindcold.bench.report import share

NEW_TOKENS = 80


def ratio(mine: float, other: float) -> float | None:
    """A time beside another; None where the other decoded nothing that could be timed."""
    return round(mine / other, 3) if other > 0 else None


def rows(found: dict[str, Rounds], cases: dict[str, Case], items: Sequence[Item]) -> list[dict[str, Any]]:
    """A table: times beside those of base greedy and of the same without drafts, and where the tokens came from."""
    rows, base = [], found.get("base greedy")
    for name, case in cases.items():
        rounds, outs, plain = found[name], found[name][0], found.get(case.plain or "")
        row: dict[str, Any] = {"method": name, "ms per token": round(per_token(rounds), 3)}
        row["x base"] = ratio(per_token(rounds), per_token(base)) if base else None
        row["x undrafted"] = ratio(per_token(rounds), per_token(plain)) if plain else None
        row["tokens per answer"] = round(sum(len(out.token_ids) for out in outs) / len(outs), 1)
        row["ms per answer"] = round(milliseconds(rounds), 1)
        row["x base, answer"] = ratio(milliseconds(rounds), milliseconds(base)) if base else None
        right = [item.is_right(out.text) for item, out in zip(items, outs, strict=True) if item.is_right]
        row["right"] = share(right) if right else None
        passes = max(1, sum(out.stats.target_passes - 1 for out in outs))
        row["tokens per pass"] = round(sum(len(out.token_ids) - 1 for out in outs) / passes, 2)
        drafted = sum(out.stats.drafted for out in outs)
        row["drafted per pass"] = round(drafted / passes, 2)
        drafting = milliseconds(rounds, lambda out: out.stats.drafting_seconds)
        row["drafting"] = f"{drafting / milliseconds(rounds):.1%}" if drafted else None
        lengths: Counter[int] = Counter()
        for out in outs:
            lengths.update(dict(enumerate(out.stats.accept_lengths)))
        accepted = " ".join(str(lengths[length]) for length in range(max(lengths, default=-1) + 1))
        row["passes with 0, 1, 2 ... accepted"] = accepted if drafted else None
        rows.append(row)
    return rows
