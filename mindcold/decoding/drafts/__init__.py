"""Drafts that take passes of a model: tokens, beams and roll-outs ahead of the target."""
