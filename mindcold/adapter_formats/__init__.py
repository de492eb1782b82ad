"""LoRA adapters in the namings of HuggingFace PEFT and of MindFormers: read, written, converted."""

from mindcold.adapter_formats.conversion import Conversion, convert_adapter
from mindcold.adapter_formats.layout import LAYOUTS
from mindcold.adapter_formats.reader import AUTO, check_adapter, read_adapter
from mindcold.adapter_formats.table import FORMATS

__all__ = ["AUTO", "FORMATS", "LAYOUTS", "Conversion", "check_adapter", "convert_adapter", "read_adapter"]
