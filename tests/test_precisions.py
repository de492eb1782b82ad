"""Engines by precision: what has its own cache has no lower one."""

import pytest

from mindcold.engine import Engine
from mindcold.errors import RequestError
from mindcold.precisions import Precisions
from tests.engine.test_host_network import HostFactory


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_network_with_a_cache_of_its_own_has_one_precision(dtype):
    """Of the same weights too: its keys and values cannot be copied."""
    with pytest.raises(RequestError, match=r"^low_dtype: the network has weights and a cache of its own"):
        Precisions(Engine(HostFactory(page=1, slots=16)), "float32").engine(dtype)
