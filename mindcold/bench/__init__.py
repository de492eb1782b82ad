"""Measurements: decoding methods beside each other in one run, as ratios."""
