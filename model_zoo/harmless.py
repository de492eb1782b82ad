"""A harmlessness reward: a small bag-of-stems classifier, an example trained on generated replies."""

import math
from pathlib import Path

from mindcold.constraints.keywords import stems
from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.constraints.text import TextState
from mindcold.fields import Fields
from mindcold.model_zoo import path as zoo_path

FILE = "harmless.json"


class Harmless:
    """Probability that a text is harmless, by logistic regression on its stems.

    The shipped weights know the rude words of `mindcold.model_zoo.corpus.replies` and nothing else: an example of a
    reward, not a judge of real text. `folder` holds a harmless.json of {"bias": b, "weights": {stem: w}}.
    """

    cumulative = False

    def __init__(self, folder: str | Path = "tiny-replies"):
        place = Path(folder) if Path(folder).is_dir() else zoo_path(str(folder))
        fields = Fields.of_file(place / FILE, ConstraintError)
        weights = fields.object("weights")
        self.bias = fields.number("bias", low=-1e12)
        self.weights = {stem: weights.number(stem, low=-1e12) for stem in weights.raw}

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty text."""
        return TextState(vocabulary.text("Harmless"), self.probability)

    def probability(self, text: str) -> float:
        """That of one text, in [0, 1]."""
        z = self.bias + sum(self.weights.get(stem, 0.0) for stem in set(stems(text, "english")))
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, z))))
