"""What strangers wrote and we have to run, such as chat templates and patterns: in a process of its own, bounded."""

from mindcold.isolated.worker import SECONDS, TaskError, call

__all__ = ["SECONDS", "TaskError", "call"]
