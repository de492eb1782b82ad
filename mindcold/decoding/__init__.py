"""Decoding: the methods, each a generator, and the scheduler that runs them together."""

from mindcold.decoding.kept_prompts import KeptPrompts
from mindcold.decoding.method import METHODS, Method, find, register
from mindcold.decoding.request import RequestState
from mindcold.decoding.scheduler import Scheduler, TokenOutput

__all__ = ["METHODS", "KeptPrompts", "Method", "RequestState", "Scheduler", "TokenOutput", "find", "register"]
