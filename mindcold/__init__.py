"""mindcold: contrastive LoRA decoding for MindSpore."""
