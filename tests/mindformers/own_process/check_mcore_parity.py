"""mcore Qwen2 and Qwen3 against transformers + peft, under stand-ins."""

import pytest

from tests.mindformers.cpu_stand_ins import stand_ins
from tests.mindformers.golden import check
from tests.mindformers.networks import mcore_network


@pytest.mark.parametrize(("name", "whole"), [("qwen2", False), ("qwen3", True)])
def test_tokens_are_those_of_transformers_and_peft(name, whole):
    with stand_ins():
        check(name, mcore_network, whole)
