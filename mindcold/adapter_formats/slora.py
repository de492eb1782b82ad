"""A folder for MindFormers' S-LoRA: an index of adapters, and adapter_model.ckpt with adapter_config.json for each."""

from mindcold.adapter_formats.ckpt_file import write_ckpt
from mindcold.adapter_formats.format import Destination
from mindcold.adapter_formats.mindformers_format import MindFormersFormat
from mindcold.adapter_formats.naming import LEGACY
from mindcold.adapter_formats.saving import Content, write_config
from mindcold.adapter_formats.source import INDEX_FILE
from mindcold.files import write_json


def _save(content: Content, destination: Destination) -> None:
    """The index with this one adapter, in a folder of its name; MindFormers puts `.*` before the target_modules.

    It takes the folders of the index from its working directory, so they are written as absolute paths.
    """
    folder = destination.folder / destination.name
    folder.mkdir()
    write_ckpt(folder / "adapter_model.ckpt", content.tensors)
    write_config(folder, content.rank, content.alpha, content.leaves)
    home = destination.home.absolute() / destination.name
    write_json(destination.folder / INDEX_FILE, {destination.name: str(home)})


SLORA = MindFormersFormat("slora", LEGACY, ((".lora_a", ".lora_b"),), ("interleaved",), _save)
