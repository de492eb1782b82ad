"""LoRA of MindFormers' graph-mode training on mcore networks (`ColumnParallelLinearWithLoRA`)."""

from mindcold.adapter_formats.mindformers_format import MindFormersFormat
from mindcold.adapter_formats.naming import MCORE as NAMING
from mindcold.adapter_formats.saving import save_safetensors

MCORE = MindFormersFormat(
    "mcore",
    NAMING,
    ((".lora_A.weight", ".lora_B.weight"),),
    ("interleaved", "contiguous", "contiguous-attention", "contiguous-mlp"),
    save_safetensors,
)
"""Training arranges fused layers as two switches of the model configuration say, interleaved by default."""
