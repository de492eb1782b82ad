"""Public tasks: one file per format with its reader, its prompt and its scorer."""

from mindcold.tasks import banking77, commongen, gsm8k, gsm8k_arithmetic, humaneval, own, spec_bench
from mindcold.tasks.task import SPLITS, Item, Task, TaskError, read_items

TASKS: dict[str, Task] = {
    item.TASK.name: item.TASK for item in (commongen, gsm8k, gsm8k_arithmetic, banking77, spec_bench, humaneval, own)
}
"""Name to task."""


def find_task(name: str) -> Task:
    """The task of this name; TaskError names the known ones."""
    if name not in TASKS:
        raise TaskError(f"task: {name!r} is not one of {', '.join(TASKS)}")
    return TASKS[name]


__all__ = ["SPLITS", "TASKS", "Item", "Task", "TaskError", "find_task", "read_items"]
