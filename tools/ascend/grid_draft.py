"""The grid's part for drafts: verification, look-up and the moves of accepted paths."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from cases import FLOATS, Case, Kernel, numbers, size_of, stored
from contracts import kernels, module


def all_kernels() -> list[Kernel]:
    """tree_verify, trigram_lookup and kv_commit."""
    return [*verify(), *lookup(), *commit()]


def verify() -> Iterator[Kernel]:
    """tree_verify."""
    signature = dict.fromkeys(("chosen", "tokens", "parents", "accepted"), "*i32") | {"P": "i32"}
    constants = {"BLOCK": kernels("tree_verify").BLOCK}
    yield Kernel("tree_verify", "tree_verify", "int32", signature, constants, verify_cases, True)


def verify_cases(bounded: bool) -> Iterator[Case]:
    """Forests with equal children, and heads of which none is accepted."""
    random = np.random.default_rng(3)
    for count in (13, 1, 64, 300) if bounded else (1, 2, 7, 64, 255, 256, 257, 300, 600):
        parents = np.array([random.integers(-1, i) if i else -1 for i in range(count)], np.int32)
        tokens = np.where(parents < 0, -1, random.integers(0, 6, count)).astype(np.int32)
        chosen = random.integers(0, 7, count).astype(np.int32)
        if count > 1:  # the last head is the only accepted child of another, so that a mask that leaves it out is seen
            parents[-1], tokens[-1], chosen[count // 2] = count // 2, 9, 9
        wanted = module("tree_verify.reference").tree_verify(chosen, tokens, parents)
        arrays = {"chosen": chosen, "tokens": tokens, "parents": parents, "accepted": np.zeros_like(chosen)}
        moved = count * 16
        yield Case(f"{count} heads", arrays, {"P": count}, (count,), {"accepted": wanted}, {}, {}, count < 50, moved)


def lookup() -> Iterator[Kernel]:
    """trigram_lookup."""
    table, triton = module("trigram_draft.table"), kernels("trigram_draft")
    integers = ("first", "second", "keys", "tokens")
    signature = dict.fromkeys(integers, "*i32") | {"weights": "*fp32", "place": "*i32", "found_tokens": "*i32"}
    yield Kernel(
        "trigram_draft",
        "trigram_lookup",
        "int32",
        signature | {"found_weights": "*fp32", "BUCKETS": "i32"},
        {"WAYS": table.WAYS, "SUCCESSORS": table.SUCCESSORS, "LANES": triton.LANES},
        lookup_cases,
        True,
    )


def lookup_cases(bounded: bool) -> Iterator[Case]:
    """Contexts of every length, known and not, in a table a text has filled."""
    table = module("trigram_draft.table")
    for buckets in (1, 211) if bounded else (1, 2, 64, 211, 5003):
        random = np.random.default_rng(buckets)
        text = random.integers(0, 152_064, 12)[random.integers(0, 12, 200)].tolist()
        known = table.Table.empty(buckets)
        table.update(known, text, 0, 1.0, 100.0)
        ends = range(180, 200, 10 if bounded else 1)
        asked = [key for end in ends for key in table.contexts(table.last_tokens(text, end))]
        asked += [(7, 11), (-1, 3), (-2, -2)]
        places = [table.find(known, key) for key in asked]
        place = np.array([-1 if at is None else at[0] * table.WAYS + at[1] for at in places], np.int32)
        tokens = known.tokens.reshape(-1, table.SUCCESSORS)[place]
        weights = known.weights.reshape(-1, table.SUCCESSORS)[place]
        tokens[place < 0], weights[place < 0] = -1, 0
        first, second = (np.array(part, np.int32) for part in zip(*asked, strict=True))
        arrays = {
            "first": first,
            "second": second,
            "keys": known.keys,
            "tokens": known.tokens,
            "weights": known.weights,
        }
        arrays |= {"place": np.zeros_like(place), "found_tokens": np.zeros_like(tokens)}
        arrays["found_weights"] = np.ones_like(weights)
        yield Case(
            f"{len(asked)} contexts in {buckets} buckets",
            arrays,
            {"BUCKETS": buckets},
            (len(asked),),
            {"place": place, "found_tokens": tokens, "found_weights": weights},
            bytes_moved=len(asked) * (8 + 32 + 2 * 96 + 4),
        )


def commit() -> Iterator[Kernel]:
    """kv_commit."""
    signature = {"source": "*i32", "target": "*i32", "N": "i32", "W": "i32", "MOVES": "i32"}
    block = kernels("tree_attention").BLOCK
    for dtype in FLOATS:
        yield Kernel(
            "tree_attention",
            "kv_commit",
            dtype,
            {"cache": f"*{dtype}"} | signature,
            {"BLOCK": block},
            partial(commit_cases, dtype, block),
            dtype == "fp16",
        )


def commit_cases(dtype: str, block: int, bounded: bool) -> Iterator[Case]:
    """Paths of several sequences, some of them moved by one slot, and lines that move nothing."""
    rows = module("rows")
    for caches, slots, width in (
        ((2, 40, 192), (1, 24, block + 40))
        if bounded
        else (*((2, 40, 192), (1, 24, block + 40), (4, 64, 64), (2, 64, 2 * block), (1, 40, 1)),)
    ):
        random = np.random.default_rng(width)
        kept = stored(random.standard_normal((caches, slots, width)).astype(np.float32), dtype)
        source = np.full(16, -1, np.int32)
        target = np.full(16, -1, np.int32)
        source[[0, 1, 2, 5, 6, 7]], target[[0, 1, 2, 5, 6, 7]] = (4, 6, 9, 13, 14, 17), (3, 4, 6, 12, 13, 14)
        lines = np.full((rows.LINES, len(source)), -1, np.int32)
        lines[rows.Row.SOURCE], lines[rows.Row.TARGET] = source, target
        wanted = kept.copy()
        nothing = np.zeros((len(source), 1, width), np.float32)
        for cache in range(caches):  # rows of padding: the reference does the moves alone
            plain = numbers(kept[cache], dtype).astype(np.float32)[:, None]
            module("tree_attention.reference").tree_attention(nothing, nothing, nothing, plain, plain.copy(), lines)
            wanted[cache] = stored(plain[:, 0], dtype)
        yield Case(
            f"{caches} caches of {slots} slots of {width}",
            {"cache": kept, "source": source, "target": target},
            {"N": slots, "W": width, "MOVES": len(source)},
            (caches, -(-width // block)),
            {"cache": wanted},
            dtypes={"cache": dtype},
            bytes_moved=caches * 6 * 2 * width * size_of(dtype),
        )
