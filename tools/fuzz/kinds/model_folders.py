"""Model folders with files that are missing, damaged, no files at all, or have any values in their fields."""

import json
from typing import Any

from folders import BYTES, CONFIG, HEADER, SCALE, VALUES, fields, folder, model_files
from hypothesis import strategies as st

import mindcold

KIND = "model folders"

_CONFIG = fields(
    [
        *CONFIG,
        *("head_dim", "rope_theta", "rope_scaling", "rope_parameters", "hidden_act", "quantization_config", "dtype"),
        *("tie_word_embeddings", "attention_bias", "sliding_window", "layer_types", "bos_token_id"),
    ]
)
_SIZES = st.tuples(
    st.just("fields"),
    st.dictionaries(
        st.sampled_from([name for name in CONFIG if name.startswith(("num", "hidden", "vocab", "inter", "max"))]),
        st.sampled_from([0, 1, 2, 3, 15, 63, 65, 4096, 10**6, 2**24]),
        min_size=1,
        max_size=2,
    ),
)
_SETTINGS = fields(["added_tokens_decoder", "add_bos_token", "add_eos_token", "chat_template", "bos_token"])
_PARTS = st.tuples(
    st.just("fields"),
    st.dictionaries(
        st.sampled_from(["normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding", "model"]),
        st.one_of(
            VALUES,
            st.sampled_from(["(", "a{99999}", "(a|aa)+$", "(?<n>\\g<n>)", "[", "\\", "(?=a)", ""]).map(
                lambda text: {"type": "Split", "pattern": {"Regex": text}, "behavior": "Isolated", "invert": False}
            ),
            st.just({"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}),
            st.just(
                {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 0},
            ),
        ),
        min_size=1,
        max_size=2,
    ),
)
_INDEX = st.tuples(
    st.just("text"),
    st.sampled_from(["a.safetensors", "../x.safetensors", "x" * 5000 + ".safetensors", "a"]).map(
        lambda name: json.dumps({"weight_map": {"model.norm.weight": name}})
    )
    | st.sampled_from(["{}", '{"weight_map": []}', '{"weight_map": {"a": 5}}', '{"weight_map": {}}']),
)


def strategy() -> st.SearchStrategy[Any]:
    """File to what is wrong with it, of one or two files."""
    both = st.one_of(
        st.tuples(st.just("config.json"), st.one_of(_CONFIG, _CONFIG, _SIZES, BYTES)),
        st.tuples(st.just("generation_config.json"), fields(["eos_token_id"]) | BYTES),
        st.tuples(st.just("tokenizer_config.json"), _SETTINGS | BYTES),
        st.tuples(st.just("tokenizer.json"), _PARTS | BYTES),
        st.tuples(st.just("tokenizer.model"), BYTES),
        st.tuples(st.just("model.safetensors"), st.one_of(HEADER, SCALE, BYTES)),
        st.tuples(st.just("model.safetensors.index.json"), _INDEX),
    )
    return st.tuples(st.lists(both, min_size=1, max_size=2).map(dict), st.sampled_from(["fast", "pieces", "none"]))


def run(case: Any) -> None:
    """Load the model; encode, decode and render a chat where it has a tokenizer; now and then generate."""
    wrong, tokenizer = case
    leave = {"fast": ("tokenizer.model",), "pieces": ("tokenizer.json",), "none": ("tokenizer.model", "tokenizer.json")}
    unused = leave[tokenizer] + (("model.safetensors",) if "model.safetensors.index.json" in wrong else ())
    files = {name: content for name, content in model_files().items() if name not in unused}
    with folder("model", files, wrong) as home:
        llm = mindcold.load(home)
        if llm.tokenizer:
            ids = llm.tokenizer.encode("a big deed")
            llm.tokenizer.decode(ids)
        if "model.safetensors" in wrong or "scale" in str(wrong):
            llm.generate([1, 3, 5], max_new_tokens=2)
        if llm.tokenizer:
            llm.tokenizer.chat([{"role": "user", "content": "a"}])
