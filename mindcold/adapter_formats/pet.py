"""MindFormers' legacy LoRA (`mindformers.pet` over mindpet's LoRADense), usually inside a whole checkpoint."""

from mindcold.adapter_formats.mindformers_format import MindFormersFormat
from mindcold.adapter_formats.naming import LEGACY
from mindcold.adapter_formats.saving import save_safetensors

PET = MindFormersFormat(
    "pet",
    LEGACY,
    (
        (".mindpet_delta_lora_a", ".mindpet_delta_lora_b"),
        (".mindpet_delta_lora_A", ".mindpet_delta_lora_B"),
        (".tk_delta_lora_a", ".tk_delta_lora_b"),
    ),
    ("interleaved",),
    save_safetensors,
    head=False,
)
"""mindpet names its parameters with capitals, MindFormers renames them; `tk_delta` is from before mindpet."""
