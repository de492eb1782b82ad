"""What all engines of a process share: MindSpore itself, which takes one thread at a time."""

import threading

LOCK = threading.RLock()
"""Held by whoever runs MindSpore: two threads in it at once end the process."""
