"""The legacy Llama against transformers + peft."""

from tests.mindformers.golden import check
from tests.mindformers.networks import legacy_network


def test_tokens_are_those_of_transformers_and_peft():
    check("llama", legacy_network)
