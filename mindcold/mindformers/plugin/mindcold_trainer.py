"""For `run_mindformer.py --register_path`, which is given the folder of this file.

The YAML then says `auto_register: mindcold_trainer.MindcoldTrainer` under `trainer:`.
"""

from mindcold.mindformers.trainer import MindcoldTrainer as _MindcoldTrainer


class MindcoldTrainer(_MindcoldTrainer):
    """MindFormers loads classes that are written in the file it was given."""
