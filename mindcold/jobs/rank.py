"""Which share of a job this process has: MindSpore's and ModelArts' variables for one process per device."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mindcold.errors import JobError


@dataclass(frozen=True, slots=True)
class Rank:
    """One of `size` processes, numbered from 0."""

    number: int = 0
    size: int = 1

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "Rank | None":
        """RANK_ID of RANK_SIZE, as `msrun` and ModelArts' rank tables set them; one process where they are missing.

        None for the process that `msrun` starts beside the workers to connect them, which has nothing to do here.
        """
        if environment.get("MS_ROLE") == "MS_SCHED":
            return None
        size = environment.get("RANK_SIZE") or environment.get("MS_WORKER_NUM") or "1"
        number = environment.get("RANK_ID") or environment.get("MS_NODE_ID") or "0"
        for name, value in (("RANK_SIZE", size), ("RANK_ID", number)):
            if not value.isdecimal():
                raise JobError(f"{name}: a number is expected, found {value[:60]!r}")
        if not int(number) < int(size) <= 100_000:
            raise JobError(f"RANK_ID: {number} is no rank of RANK_SIZE {size}")
        return cls(int(number), int(size))

    def owns(self, number: int) -> bool:
        """Whether a line, by its number, is in the share of this process."""
        return number % self.size == self.number
