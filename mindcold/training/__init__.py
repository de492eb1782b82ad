"""Training in graph mode: a base model from text, or a LoRA adapter for one from prompts and completions."""
