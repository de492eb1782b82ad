"""Several processes that compute together: MindSpore's collective communication, on Ascend and on CPU."""

import os

import mindspore as ms

from mindcold.engine.runtime import choose_device
from mindcold.errors import JobError, one_line
from mindcold.jobs.rank import Rank


def connect(rank: Rank | None) -> None:
    """Join the other processes; nothing for one alone.

    None stands for the process of `msrun` that connects the others: it returns when they have ended. Raises JobError
    where several processes cannot find each other.
    """
    if rank is not None and rank.size == 1:
        return
    choose_device()
    if "MS_ROLE" not in os.environ and ms.get_context("device_target") == "CPU":
        raise JobError("RANK_SIZE: several processes on CPU have to be started by msrun, which connects them")
    try:
        ms.communication.init()
    except (RuntimeError, ValueError) as error:
        raise JobError(f"RANK_TABLE_FILE or msrun: the processes were not connected ({one_line(error)})") from None
    if rank is not None and (found := ms.communication.get_rank()) != rank.number:
        raise JobError(f"RANK_ID: {rank.number} in the environment, but {found} among the connected processes")
