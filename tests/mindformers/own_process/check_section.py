"""The `mindcold:` section of a YAML file: what is no keyword, of a wrong type or without an end is one line."""

import pytest
from mindspore import nn

from mindcold.errors import MindcoldError
from mindcold.mindformers import MindFormersError
from mindcold.mindformers.enable import decoder_for
from mindcold.mindformers.section import keywords_of


class Network(nn.Cell):
    """As much of a network as is looked at."""

    def generate(self, input_ids):
        return input_ids


def test_sections():
    assert keywords_of({"method": "cold", 5: {"a": [1]}}) == {"method": "cold", "5": {"a": [1]}}
    endless = []
    endless.append(endless)
    for section in (5, [], None, "cold", {"network": 1}, {"constraint": endless}):
        with pytest.raises(MindFormersError, match=r"^mindcold: "):
            keywords_of(section)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"adapter": 5}, "folder: a path is expected"),
        ({"adapter": ["a", "b"]}, "folder: a path is expected"),
        ({"adapter": {"": "tiny-steps"}}, "adapter: a name is expected"),
        ({"max_batch": True}, "max_batch: an integer from 1"),
        ({"lora_alpha": "x"}, "lora_alpha: a positive number"),
        ({"layout": 5}, "layout: a name is expected"),
        ({"operators": ["aot"]}, "operators: a name is expected"),
        ({"backend": ["engine"]}, "backend: "),
        ({"dtype": {"a": 1}}, "dtype: "),
        ({"tokenizer": ""}, "tokenizer: a path is expected"),
        ({"tokenizer": "n" * 5000}, "tokenizer: no tokenizer.json"),
        ({"method": ["cold"]}, "method: "),
        ({"alpha": float("nan")}, "alpha: "),
        ({"no_such": 1}, "no_such: not a keyword"),
    ],
)
def test_keywords(keywords, message):
    with pytest.raises(MindcoldError, match=f"^{message}") as caught:
        decoder_for(Network(), **{"model": "tiny-base"} | keywords)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1200
