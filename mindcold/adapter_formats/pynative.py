"""LoRA of MindFormers 2's PyNative training (`LinearWithLoRA`), on the same networks, always interleaved."""

from mindcold.adapter_formats.mindformers_format import MindFormersFormat
from mindcold.adapter_formats.naming import MCORE
from mindcold.adapter_formats.saving import save_safetensors

PYNATIVE = MindFormersFormat("pynative", MCORE, ((".lora_a", ".lora_b"),), ("interleaved",), save_safetensors)
