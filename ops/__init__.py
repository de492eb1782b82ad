"""The operators of mindcold: one folder each, one contract with several bodies."""
