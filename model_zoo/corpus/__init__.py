"""The text the shipped models were trained on: seeded generators, no downloaded data."""
