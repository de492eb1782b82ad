"""A harmlessness reward: a small bag-of-stems classifier, an example trained on generated replies."""

import json
import math
from pathlib import Path
from typing import Any

from mindcold.constraints.constraint import ConstraintError, State, TextState, Vocabulary
from mindcold.constraints.keywords import stems
from mindcold.model_zoo import path as zoo_path

FILE = "harmless.json"


class Harmless:
    """Probability that a text is harmless, by logistic regression on its stems.

    The shipped weights know the rude words of `mindcold.model_zoo.corpus.replies` and nothing else: an example of a
    reward, not a judge of real text. `folder` holds a harmless.json of {"bias": b, "weights": {stem: w}}.
    """

    cumulative = False

    def __init__(self, folder: str | Path = "tiny-replies"):
        place = (Path(folder) if Path(folder).is_dir() else zoo_path(str(folder))) / FILE
        try:
            found: Any = json.loads(place.read_text(encoding="utf-8"))
            self.bias = float(found["bias"])
            self.weights = {str(stem): float(weight) for stem, weight in found["weights"].items()}
        except OSError as error:
            raise ConstraintError(f"{place}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConstraintError(f"{place}: a bias and weights by stem are expected") from None

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty text."""
        return TextState(vocabulary.text("Harmless"), self.probability)

    def probability(self, text: str) -> float:
        """That of one text."""
        z = self.bias + sum(self.weights.get(stem, 0.0) for stem in set(stems(text, "english")))
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, z))))
