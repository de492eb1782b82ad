"""What all engines of a process share: MindSpore itself, which takes one thread at a time."""

import os
import threading

import mindspore as ms

from mindcold.errors import RequestError

LOCK = threading.RLock()
"""Held by whoever runs MindSpore: two threads in it at once end the process."""


def choose_device() -> None:
    """Where there are several Ascend devices, take the one of this process, by ASCEND_DEVICE_ID or DEVICE_ID.

    ModelArts sets the first, `msrun` the second. Has to come before anything is computed; nothing happens on CPU.
    """
    number = os.environ.get("ASCEND_DEVICE_ID") or os.environ.get("DEVICE_ID")
    if number is None or ms.get_context("device_target") != "Ascend":
        return
    if not number.isdecimal():
        raise RequestError(f"ASCEND_DEVICE_ID: a number is expected, found {number[:60]!r}")
    ms.set_device("Ascend", int(number))
