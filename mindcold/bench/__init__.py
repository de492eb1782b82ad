"""Measurements: ways of decoding beside each other in one run; see README.md in this folder for what they say."""
