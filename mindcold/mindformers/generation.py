"""What a call of MindFormers' `generate` asks for, as requests; a field that cannot be honoured is an error."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindcold import values
from mindcold.errors import shown
from mindcold.mindformers.library import MindFormersError
from mindcold.request import Request

CALL = "mindcold"
"""The keyword of a call that overrides how it decodes."""

# MindFormers' own fields that ask for something that is not done here, and the value that asks for nothing
_OFF = {
    "num_beams": 1,
    "encoder_repetition_penalty": 1.0,
    "output_scores": False,
    "output_logits": False,
    "parallel_decoding": False,
}
# fields that choose between ways of computing the same, or are read here
_READ = {
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "return_dict_in_generate",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
}
_NO_MATTER = {"use_past", "renormalize_logits", "window_size", "level", "guess_set_size", "generation_mode"}
# keywords that pipeline and Trainer pass on with every call
_STRAY = {
    "audio_processor",
    "batch_size",
    "image_processor",
    "is_full_config",
    "model_name",
    "save_file",
    "task",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `generate`."""

    prompts: list[list[int]]
    requests: list[Request]
    pad_token_id: int
    as_dict: bool


def read_call(
    network: Any, input_ids: Any, generation_config: Any, keywords: Mapping[str, Any], decoding: Mapping[str, Any]
) -> Call:
    """The requests of a call of a network's `generate`.

    `decoding` are the keywords `enable` was given: method, adapter, draft, alpha, ...; those of the call under
    "mindcold" go before them, and both before the fields of MindFormers. Lengths count as in MindFormers: `max_length`
    with the prompt, at most the network's seq_length. Raises MindFormersError that names the field.
    """
    own = dict(keywords)
    override = own.pop(CALL, None) or {}
    if not isinstance(override, Mapping):
        raise MindFormersError(f"{CALL}: a dictionary of keywords is expected, found {type(override).__name__}")
    config = _generation_config(network, generation_config)
    adapter_ids = own.pop("adapter_id", None)
    unused = config.update(**{name: value for name, value in own.items() if value is not None or name in _READ})
    _refuse(config, {name: value for name, value in unused.items() if value is not None and name not in _STRAY})
    pad = _count(config, "pad_token_id", low=-1) or 0
    prompts = _prompts(input_ids, pad)
    settings = {**decoding, **override}
    adapters = _adapters(adapter_ids, settings.pop("adapter", None), len(prompts))
    method = settings.pop("method", None)
    # the best of one is no draw: what MindFormers' trainer asks for by default
    drawn = config.do_sample and config.top_k != 1 and method != "greedy"
    sampled = bool(settings.get("do_sample", drawn))
    if sampled and method in (None, "greedy"):
        method = "sample"
    common = _common(config, sampled) | settings
    if sampled and method != "sample":
        common["do_sample"] = True
    requests = []
    for prompt, adapter in zip(prompts, adapters, strict=True):
        lengths = _lengths(network, config, len(prompt))
        requests.append(Request(prompt, method, adapter=adapter, **{**lengths, **common}))
    return Call(prompts, requests, pad, bool(config.return_dict_in_generate))


def _generation_config(network: Any, given: Any) -> Any:
    """A copy of the configuration a call starts from, as MindFormers chooses it."""
    from mindformers.core.context.build_context import is_legacy_model
    from mindformers.generation import GenerationConfig

    if given is None:
        given = GenerationConfig.from_model_config(network.config) if is_legacy_model() else network.generation_config
    return copy.deepcopy(given)


def _refuse(config: Any, unused: Mapping[str, Any]) -> None:
    """Refuse fields that are set and would change nothing."""
    if unused:
        name = sorted(unused)[0]
        raise MindFormersError(f"{name}: not a field of generate; mindcold's own go into mindcold={{...}}")
    for name, value in vars(config).items():
        if name.startswith("_") or name in _READ or name in _NO_MATTER or value is None:
            continue
        if name not in _OFF:
            raise MindFormersError(f"{name}: mindcold has nothing like this field; leave it out")
        if value != _OFF[name]:
            hint = "; mindcold={'method': 'beam', 'num_beams': ...} searches" if name == "num_beams" else ""
            raise MindFormersError(f"{name}: {value!r} is not supported{hint}")


def _prompts(input_ids: Any, pad: int) -> list[list[int]]:
    """The prompts of a batch without the padding after them."""
    try:
        ids = np.array(input_ids)
    except ValueError:
        raise MindFormersError("input_ids: rows of one length are expected; pad them with pad_token_id") from None
    if not ids.size or not np.issubdtype(ids.dtype, np.integer):
        raise MindFormersError("input_ids: token ids are expected, one row per prompt")
    found = []
    for row in ids.reshape(-1, ids.shape[-1]):
        last = np.flatnonzero(row != pad)
        if not len(last):
            raise MindFormersError("input_ids: a row of padding alone; give at least one token")
        found.append(row[: last[-1] + 1].tolist())
    return found


def _adapters(ids: Any, name: Any, count: int) -> list[str | None]:
    """The adapter of each prompt: MindFormers' own `adapter_id`, or mindcold's `adapter`."""
    chosen = name if ids is None else ids
    if not isinstance(chosen, (list, tuple)):
        return [chosen] * count
    if len(chosen) not in (1, count):
        raise MindFormersError(f"adapter{'' if ids is None else '_id'}: {len(chosen)} names for {count} prompts")
    return list(chosen) * (count if len(chosen) == 1 else 1)


def _common(config: Any, sampled: bool) -> dict[str, Any]:
    """What holds for all prompts of a call, without what is at its default."""
    found: dict[str, Any] = {}
    if config.repetition_penalty not in (None, 1, 1.0):
        found["repetition_penalty"] = config.repetition_penalty
    if sampled:
        for name, nothing in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0)):
            value = getattr(config, name)
            if value is not None and value != nothing:
                found[name] = value
    if config.eos_token_id is not None:
        found["eos_token_id"] = config.eos_token_id
    return found


def _count(config: Any, name: str, low: int = 0) -> int | None:
    """A field that is an integer of at least `low`, or not set."""
    value = getattr(config, name)
    found = values.integer(value)
    if value is not None and (found is None or found < low):
        raise MindFormersError(f"{name}: an integer >= {low} is expected, found {shown(value)}")
    return found


def _lengths(network: Any, config: Any, length: int) -> dict[str, int]:
    """New tokens of a prompt at most and at least."""
    new = _count(config, "max_new_tokens")
    limit = min(_count(config, "max_length") or 0 if new is None else length + new, network.config.seq_length)
    if limit <= length:
        name = "max_length" if limit < network.config.seq_length else "seq_length"
        raise MindFormersError(f"{name}: {limit} leaves a prompt of {length} tokens no room for a new one")
    found = {"max_new_tokens": limit - length}
    least = max(_count(config, "min_new_tokens") or 0, (_count(config, "min_length") or 0) - length)
    if least > 0:
        found["min_new_tokens"] = min(least, limit - length)
    return found
