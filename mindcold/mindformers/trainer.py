"""MindFormers' trainer for language models that obeys a `mindcold:` section of its YAML file."""

from typing import Any

from mindformers import CausalLanguageModelingTrainer

from mindcold.mindformers.enable import enable
from mindcold.mindformers.section import SECTION, keywords_of


class MindcoldTrainer(CausalLanguageModelingTrainer):
    """`trainer: {type: MindcoldTrainer, auto_register: mindcold_trainer.MindcoldTrainer}`, see this folder's README.

    The section has the keywords of `mindcold.mindformers.enable`: adapter, method, draft, alpha, ... Networks that are
    trained or evaluated are left alone.
    """

    def set_network(self, network: Any, is_train: bool = True) -> None:
        """Take the network, as MindFormers does before it loads its weights and predicts."""
        super().set_network(network, is_train)
        section = self.config.get(SECTION) if self.config else None
        if section is None or is_train:
            return
        enable(network, **keywords_of(section))
