"""All adapter formats."""

from mindcold.adapter_formats.format import Format
from mindcold.adapter_formats.mcore import MCORE
from mindcold.adapter_formats.peft import Peft
from mindcold.adapter_formats.pet import PET
from mindcold.adapter_formats.pynative import PYNATIVE
from mindcold.adapter_formats.slora import SLORA

FORMATS: dict[str, Format] = {item.name: item for item in (Peft(), PET, MCORE, PYNATIVE, SLORA)}
"""Name to format."""
