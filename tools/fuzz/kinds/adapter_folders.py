"""Adapter folders with files that are missing, damaged, no files at all, or have any values in their fields."""

from typing import Any

from expressions import expressions
from folders import BYTES, CONFIG, HEADER, SCALE, VALUES, adapter_files, fields, folder
from hypothesis import strategies as st

from mindcold.adapter_formats import read_adapter
from mindcold.config import parse_config
from mindcold.decoding_defaults import DecodingDefaults

KIND = "adapter folders"

_EXPRESSIONS = expressions(
    ["q_proj", "down_proj", ".", r"\w", r"\d", "layers", r"\.", "a", "x", "[^.]", "model", "(?!x)"],
    ["*", "+", "?", "{1,30}", "*?", "{99}", "{0,70000}"],
)

_NAMES = ["r", "lora_alpha", "target_modules", "use_rslora", "bias", "modules_to_save", "peft_type", "use_dora"]
_NAMES += ["init_lora_weights", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "layers_to_transform"]
_PATTERNS = st.tuples(
    st.just("fields"),
    st.fixed_dictionaries(
        {},
        optional={
            "target_modules": _EXPRESSIONS,
            "exclude_modules": _EXPRESSIONS,
            "rank_pattern": st.dictionaries(_EXPRESSIONS, st.just(2) | VALUES, max_size=3),
            "alpha_pattern": st.dictionaries(_EXPRESSIONS, st.sampled_from([4, 1e38, float("nan"), -1]), max_size=3),
            "layers_pattern": _EXPRESSIONS | st.lists(_EXPRESSIONS, max_size=2),
            "layers_to_transform": st.sampled_from([0, [0], [5], []]),
        },
    ),
)
_DEFAULTS = st.tuples(
    st.just("text"),
    st.sampled_from(
        [
            "{}",
            '{"method": "cold", "alpha": NaN}',
            '{"method": 5}',
            '{"draft": "/x"}',
            '{"beta": 1e400}',
            "[]",
            '{"x": 1}',
        ]
    ),
)
_INDEX = st.tuples(st.just("text"), st.sampled_from(["{}", '{"a": ".."}', '{"a": 5}', '{"a": "\\u0000"}', "[]"]))


def strategy() -> st.SearchStrategy[Any]:
    """File to what is wrong with it, of one or two files."""
    both = st.one_of(
        st.tuples(st.just("adapter_config.json"), st.one_of(fields(_NAMES), _PATTERNS, _PATTERNS, BYTES)),
        st.tuples(st.just("adapter_model.safetensors"), st.one_of(HEADER, SCALE, BYTES)),
        st.tuples(st.just("decoding_config.json"), _DEFAULTS | BYTES),
        st.tuples(st.just("lora_adapter.json"), _INDEX | BYTES),
        st.tuples(st.just("adapter_model.ckpt"), BYTES),
        st.tuples(st.just("other.safetensors"), BYTES),
    )
    return st.lists(both, min_size=1, max_size=2).map(dict)


def run(case: Any) -> None:
    """Read the adapter and its decoding defaults, as `load` does."""
    with folder("adapter", adapter_files(), case) as home:
        DecodingDefaults.of_folder(home)
        read_adapter(home, parse_config(CONFIG, "fuzz"))
