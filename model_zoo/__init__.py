"""Ready models that ship with mindcold, by name."""
