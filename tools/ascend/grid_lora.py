"""The grid's part for lora_linear: the low-rank part of several adapters at once."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from cases import FLOATS, Case, Kernel, numbers, size_of, stored
from contracts import kernels, module

UNTOUCHED = -7.0
"""Stands where a kernel must not write."""


def all_kernels() -> list[Kernel]:
    """lora_shrink and lora_expand."""
    triton = kernels("lora_linear")
    found = []
    for dtype in FLOATS:
        signature = {
            "x": f"*{dtype}",
            "a": f"*{dtype}",
            "adapter": "*i32",
            "middle": "*fp32",
            "H": "i32",
            "RANK": "i32",
        }
        constants = {"RANKS": triton.RANKS, "WIDTH": triton.WIDTH}
        cases = partial(shrink_cases, dtype, triton.RANKS)
        found.append(Kernel("lora_linear", "lora_shrink", dtype, signature, constants, cases, dtype != "bf16"))
    for dtype in FLOATS:
        signature = {"middle": "*fp32", "b": f"*{dtype}", "adapter": "*i32", "y": f"*{dtype}"}
        signature |= dict.fromkeys(("FIRST", "OUT", "Y", "RANK"), "i32")
        cases = partial(expand_cases, dtype, triton.BLOCK)
        bounded = dtype != "fp16"
        found.append(Kernel("lora_linear", "lora_expand", dtype, signature, {"BLOCK": triton.BLOCK}, cases, bounded))
    return found


def low_rank(x: np.ndarray, a: np.ndarray, b: np.ndarray, adapter: np.ndarray, y: np.ndarray, first: int) -> np.ndarray:
    """y + x A^T B^T of each row's adapter, by the contract of lora_linear with a base weight of zeros."""
    contract = module("lora_linear.reference")
    pairs = [contract.LowRank(i, first, a[i], b[i]) for i in range(len(a))]
    zeros = np.zeros((y.shape[1], x.shape[1]), np.float32)
    return contract.lora_linear(x, zeros, None, pairs, adapter, residual=y)


def shrink_cases(dtype: str, ranks: int, bounded: bool) -> Iterator[Case]:
    """Ranks and widths with tails, rows of several adapters, of none and of padding."""
    shapes = [(5, 1300, 16), (3, 576, 128)] if bounded else [(5, 1300, 16), (3, 576, 128), (64, 1000, 8), (4, 3584, 64)]
    for rows, width, rank in shapes:
        random = np.random.default_rng(rank)
        x = stored(random.standard_normal((rows, width)).astype(np.float32), dtype)
        a = stored(random.standard_normal((3, rank, width)).astype(np.float32), dtype)
        adapter = np.resize([2, -1, 0, 1, -2], rows).astype(np.int32)
        middle = np.full((rows, rank), UNTOUCHED, np.float32)
        plain_x, plain_a = (numbers(item, dtype).astype(np.float32) for item in (x, a))
        eye = np.broadcast_to(np.eye(rank, dtype=np.float32), (3, rank, rank))
        wanted = low_rank(plain_x, plain_a, eye, adapter, np.zeros_like(middle), 0)
        wanted[adapter < 0] = UNTOUCHED
        served = int((adapter >= 0).sum())
        yield Case(
            f"{rows} rows, {width} to rank {rank}",
            {"x": x, "a": a, "adapter": adapter, "middle": middle},
            {"H": width, "RANK": rank},
            (rows, rank // ranks),
            {"middle": wanted},
            {"middle": 1e-5},
            {"x": dtype, "a": dtype},
            bytes_moved=served * (width * (1 + rank) * size_of(dtype) + 4 * rank),
        )


def expand_cases(dtype: str, block: int, bounded: bool) -> Iterator[Case]:
    """Outputs with tails, some of them in the middle of a longer row."""
    shapes = [(4, 8, block + 40, 16, block + 72), (5, 64, 192, 0, 192)]
    if not bounded:
        shapes += [(64, 16, 576, 576, 1728), (3, 128, 3584, 0, 3584), (5, 32, 1, 3, 7)]
    for rows, rank, outputs, first, whole in shapes:
        random = np.random.default_rng(outputs)
        middle = random.standard_normal((rows, rank)).astype(np.float32)
        b = stored(random.standard_normal((3, rank, outputs)).astype(np.float32), dtype)
        y = stored(random.standard_normal((rows, whole)).astype(np.float32), dtype)
        adapter = np.resize([1, 2, -1, -2, 0], rows).astype(np.int32)
        plain_y, plain_b = (numbers(item, dtype).astype(np.float32) for item in (y, b))
        eye = np.broadcast_to(np.eye(rank, dtype=np.float32), (3, rank, rank))
        wanted = stored(low_rank(middle, eye, plain_b.transpose(0, 2, 1), adapter, plain_y, first), dtype)
        wanted[adapter < 0] = y[adapter < 0]
        served = int((adapter >= 0).sum())
        yield Case(
            f"{rows} rows, rank {rank} to {outputs} of {whole}",
            {"middle": middle, "b": b, "adapter": adapter, "y": y},
            {"FIRST": first, "OUT": outputs, "Y": whole, "RANK": rank},
            (rows, -(-outputs // block)),
            {"y": wanted},
            {"y": {"fp32": 1e-6, "fp16": 2**-10, "bf16": 2**-7}[dtype]},
            {"b": dtype, "y": dtype},
            bytes_moved=served * (outputs * (rank + 2) * size_of(dtype) + 4 * rank),
        )
