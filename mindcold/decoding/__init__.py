"""Decoding: the methods, each a generator, and the scheduler that runs them together."""

from mindcold.decoding.method import METHODS, Method, find, register
from mindcold.decoding.request import RequestState
from mindcold.decoding.scheduler import Scheduler, TokenOutput

__all__ = ["METHODS", "Method", "RequestState", "Scheduler", "TokenOutput", "find", "register"]
