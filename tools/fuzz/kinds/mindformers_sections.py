"""The `mindcold:` section of MindFormers' YAML files."""

from functools import cache
from typing import Any

import yaml
from hypothesis import strategies as st

from mindcold.mindformers.library import MindFormersError

KIND = "MindFormers sections"

_NUMBERS = [".nan", ".inf", "-1", "0", "1e400", "9" * 400, "0x10", "0.5", "4", "2024-01-01"]
_WORDS = ["yes", "~", "''", '"\\ud800"', "tiny-steps", "engine", "network", "float32", "cold", "trigram"]
_OTHERS = ["!!binary aGk=", "[]", "{}", "[[1], [2]]", "!!set {a}", "&a [*a]"]
_SCALARS = st.sampled_from([*_NUMBERS, *_WORDS, *_OTHERS])
_VALUES = st.recursive(
    _SCALARS | st.text("ab-: '\"", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.tuples(inner, inner).map(lambda pair: f"{{{pair[0]}: {pair[1]}}}")
    ),
    max_leaves=4,
)
_OWN = ["adapter", "model", "tokenizer", "layout", "lora_alpha", "backend", "dtype", "operators", "max_batch", "method"]
_DECODING = ["draft", "alpha", "beta", "constraint", "stop_strings", "eos_token_id", "network", "no_such", "5", "~"]
_NAMES = st.sampled_from([*_OWN, *_DECODING])


def strategy() -> st.SearchStrategy[Any]:
    """The text of a section."""
    line = st.tuples(_NAMES, _VALUES).map(lambda pair: f"{pair[0]}: {pair[1]}")
    return st.lists(line, max_size=4).map("\n".join) | _VALUES


@cache
def _network() -> Any:
    from mindspore import nn

    class Network(nn.Cell):
        """As much of a network as is looked at before the first call."""

        def generate(self, input_ids: Any) -> Any:
            return input_ids

    return Network()


def run(case: Any) -> None:
    """Enable it as MindFormers' trainer does."""
    from mindcold.mindformers.enable import decoder_for
    from mindcold.mindformers.section import keywords_of

    try:
        section = yaml.safe_load(case)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:  # MindFormers' own
        raise MindFormersError(f"yaml: {type(error).__name__}") from None
    if section is not None:
        decoder_for(_network(), **{"model": "tiny-base"} | keywords_of(section))
