"""MindFormers' trainer for language models that obeys a `mindcold:` section of its YAML file."""

from typing import Any

from mindformers import CausalLanguageModelingTrainer

from mindcold.mindformers.enable import enable
from mindcold.mindformers.library import MindFormersError

SECTION = "mindcold"


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
        if not isinstance(section, dict):
            raise MindFormersError(f"{SECTION}: a section of keywords is expected, found {section!r:.60}")
        enable(network, **_plain(section))


def _plain(value: Any) -> Any:
    """MindFormers' configuration objects as plain dictionaries and lists."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
