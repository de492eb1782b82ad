"""Constraints on token ids, for models without a tokenizer."""

import numpy as np


class Liked:
    """A constraint on token ids: the share of the tokens that are among some; it needs no tokenizer."""

    cumulative = False

    def __init__(self, ids, tokens=()):
        self.ids, self.tokens = set(ids), list(tokens)

    def start(self, vocabulary):
        return type(self)(self.ids)

    def advance(self, token):
        self.tokens.append(token)

    def rollback(self, count):
        del self.tokens[len(self.tokens) - count :]

    def fork(self):
        return type(self)(self.ids, self.tokens)

    def value(self):
        return sum(token in self.ids for token in self.tokens) / max(1, len(self.tokens))

    def allowed(self):
        return None


class One(Liked):
    """Always content."""

    def value(self):
        return 1.0


class Covered(Liked):
    """The share of some tokens that are there, which no continuation loses."""

    cumulative = True

    def value(self):
        return len(self.ids.intersection(self.tokens)) / len(self.ids)

    floor = value


class Mask(Liked):
    """Allows only its tokens."""

    def allowed(self):
        mask = np.zeros(96, bool)
        mask[list(self.ids)] = True
        return mask


class Narrowing(Mask):
    """Allows everything at first, and nothing behind two tokens."""

    def allowed(self):
        return np.full(96, len(self.tokens) < 2)
