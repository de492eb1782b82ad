"""A model with an adapter, and a smaller opinion of it: the same weights with noise, as a drafting model."""

import numpy as np
from safetensors.numpy import load_file, save_file

import mindcold
from tests.folders import write_adapter, write_json, write_model

METHODS = {
    "greedy": {"method": "greedy"},
    "cold": {"method": "cold", "alpha": 0.05, "beta": 0.8},
    "sample": {"method": "sample", "temperature": 1.3, "seed": 5},
    "sampled cold": {"method": "cold", "do_sample": True, "seed": 3, "top_k": 12},
    "penalty": {"method": "greedy", "repetition_penalty": 1.4, "min_new_tokens": 9},
    "words": {"method": "greedy", "bad_words_ids": [[7, 8], [3]], "suppress_tokens": [11]},
}
"""Every kind of choice that a draft has to leave as it is."""

NEAR = 0.02
"""Noise by which about half of the drafts are right."""


def write_noisy(folder, model, noise=NEAR, seed=9, **changes):
    """A copy of a model folder with noise on every weight, and `changes` to its config.json."""
    import json

    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    weights = load_file(model / "model.safetensors")
    noisy = {
        name: (value + noise * rng.standard_normal(value.shape)).astype(np.float32) for name, value in weights.items()
    }
    write_json(folder / "config.json", json.loads((model / "config.json").read_text()) | changes)
    save_file(noisy, folder / "model.safetensors")
    return folder


def load_pair(folder, seed=1, noise=NEAR, **changes):
    """A random model with an adapter, loaded, and the keywords of drafts by a noisy copy of both."""
    model = write_model(folder / "model", seed=seed, vocab_size=64, **changes)
    adapter = write_adapter(folder / "adapter", seed=seed, model={"vocab_size": 64})
    llm = mindcold.load(model, adapter)
    return llm, {"draft": str(write_noisy(folder / "draft", model, noise)), "draft_adapter": str(adapter)}


def naive_logits(llm, ids, adapter=None):
    """Logits after a text, float64 [vocab]."""
    return llm.logits(ids, adapter)[-1].astype(np.float64)


def chi_square(pairs, least=10):
    """Whether two columns of counts [outcomes, 2] of as many draws each may have one law: statistic and its bound."""
    table = np.array([pair for pair in pairs if sum(pair) >= least], np.float64)
    expected = table.sum(1, keepdims=True) / 2
    statistic, freedom = ((table - expected) ** 2 / expected).sum(), len(table) - 1
    return statistic, freedom + 4 * np.sqrt(2 * freedom) + 4
