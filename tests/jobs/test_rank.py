"""The place of a process among several, from its environment."""

import pytest

from mindcold.errors import JobError
from mindcold.jobs.rank import Rank


def test_the_environment_says_which_share():
    read = Rank.of_environment
    assert read({}) == Rank(0, 1) and read({"RANK_ID": "2", "RANK_SIZE": "4"}) == Rank(2, 4)
    assert read({"MS_NODE_ID": "1", "MS_WORKER_NUM": "2", "MS_ROLE": "MS_WORKER"}) == Rank(1, 2)
    assert read({"MS_ROLE": "MS_SCHED", "MS_WORKER_NUM": "2"}) is None
    for bad in ({"RANK_ID": "2", "RANK_SIZE": "2"}, {"RANK_SIZE": "0"}, {"RANK_ID": "x"}, {"RANK_SIZE": "-1"}):
        with pytest.raises(JobError, match="RANK_"):
            read(bad)
    shares = [[n for n in range(1, 12) if Rank(i, 3).owns(n)] for i in range(3)]
    assert sorted(n for share in shares for n in share) == list(range(1, 12))
