"""One line that lets mindcold decode what a MindFormers network generates, and one that takes it back."""

import types
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import mindspore as ms

from mindcold import values
from mindcold.adapter_formats.scaling import check_alpha
from mindcold.constraints import parse_constraint
from mindcold.decoding import find
from mindcold.engine import MAX_ROWS
from mindcold.errors import shown
from mindcold.mindformers.decoder import Decoder
from mindcold.mindformers.library import MindFormersError, log
from mindcold.model_folder import find_folder
from mindcold.ops.lora_linear import DTYPES
from mindcold.request import BASE
from mindcold.sampling_params import SamplingParams
from mindcold.tokenizer import Tokenizer

BACKENDS = ("auto", "engine", "network")
"""What computes: mindcold's engine with the network's weights, the network in place, or what fits the device."""

_DECODER = "_mindcold_decoder"
_BEFORE = "_mindcold_before"


def enable(network: Any, adapter: str | Path | Mapping[str, str | Path] | None = None, **keywords: Any) -> Any:
    """Let mindcold decode what this network generates, in `pipeline`, `Trainer.predict` and by itself; gives it back.

    Adapter and keywords are those of `decoder_for`.
    """
    decoder = decoder_for(network, adapter, **keywords)
    disable(network)
    own = vars(network)
    object.__setattr__(network, _BEFORE, own.get("generate"))
    object.__setattr__(network, _DECODER, decoder)
    object.__setattr__(network, "generate", types.MethodType(_generate, network))
    return network


def decoder_for(
    network: Any,
    adapter: str | Path | Mapping[str, str | Path] | None = None,
    *,
    model: str | Path | None = None,
    tokenizer: Any = None,
    layout: str | None = None,
    lora_alpha: float | None = None,
    backend: str = "auto",
    dtype: str = "auto",
    operators: str = "auto",
    max_batch: int = 8,
    **decoding: Any,
) -> Decoder:
    """What decodes for a network, without a change to it.

    `adapter` is an adapter folder or file in any format of `mindcold.adapter_formats`, or several by their names;
    `layout` and `lora_alpha` are those of `read_adapter`. A network of `get_pet_model` has its own. `decoding` are
    `method`, `draft`, `constraint` and the other keywords of `mindcold.LLM.generate`; `mindcold={...}` in a call goes
    before them. `backend` "engine" hands the weights of the network to mindcold's own engine, or reads them from the
    HuggingFace folder `model`; "network" lets the network compute itself (`mindcold.mindformers.in_place`); "auto" is
    the network on Ascend and the engine elsewhere. `tokenizer`, a folder or a tokenizer of transformers or MindFormers,
    is needed for constraints and stop strings alone. `dtype`, `operators` and `max_batch` are `dtype`, `backend` and
    `max_batch` of `mindcold.load`.
    Weights are read at the first call, so those that are loaded in between count. Raises MindFormersError, AdapterError
    or RequestError in one line.
    """
    if not isinstance(network, ms.nn.Cell) or not hasattr(network, "generate"):
        raise MindFormersError(f"network: a MindFormers network is expected, found {type(network).__name__}")
    if backend not in BACKENDS:
        raise MindFormersError(f"backend: {shown(backend)} is not one of {', '.join(BACKENDS)}")
    if dtype not in ("auto", *DTYPES):
        raise MindFormersError(f"dtype: {shown(dtype)} is not one of auto, {', '.join(DTYPES)}")
    together = values.integer_of("max_batch", max_batch, 1, MAX_ROWS // 2)
    for keyword, text in (("operators", operators), ("layout", layout)):
        if text is not None and not values.text(text):
            raise MindFormersError(f"{keyword}: a name is expected, found {shown(text)}")
    if lora_alpha is not None:
        check_alpha(lora_alpha)
    _check(decoding)
    adapters = dict(adapter) if isinstance(adapter, Mapping) else {} if adapter is None else {"default": adapter}
    for name, path in adapters.items():
        if not values.text(name):
            raise MindFormersError(f"adapter: a name is expected, found {shown(name)}")
        if name == BASE:
            raise MindFormersError(f"adapter: {BASE!r} is the network without one; choose another name")
        adapters[name] = find_folder(path)
    _be_runnable()
    if backend == "network" and (model is not None or dtype != "auto"):
        name = "dtype" if model is None else "model"
        raise MindFormersError(f"{name}: of no use where the network computes in place; use backend='engine'")
    on_device = backend == "auto" and model is None and ms.get_context("device_target") == "Ascend"
    return Decoder(
        network,
        adapters,
        decoding,
        model=None if model is None else find_folder(model),
        tokenizer=None if tokenizer is None else tokenizer_folder(tokenizer),
        layout=layout,
        lora_alpha=lora_alpha,
        dtype=dtype,
        operators=operators,
        max_batch=together,
        in_place=backend == "network" or on_device,
    )


def disable(network: Any) -> None:
    """Give a network its own `generate` back; nothing happens to one that was not enabled."""
    own = vars(network)
    decoder = own.pop(_DECODER, None)
    if decoder is None:
        return
    before = own.pop(_BEFORE, None)
    del own["generate"]
    if before is not None:
        object.__setattr__(network, "generate", before)
    decoder.close()


def decoder_of(network: Any) -> Decoder:
    """What decodes for an enabled network; its `outputs` are those of the last call, with statistics."""
    decoder = vars(network).get(_DECODER)
    if decoder is None:
        raise MindFormersError("network: mindcold is not enabled on it")
    return decoder


def _generate(network: Any, input_ids: Any, *positional: Any, **keywords: Any) -> Any:
    """`generate` of an enabled network."""
    return decoder_of(network).generate(input_ids, *positional, **keywords)


def _check(decoding: Mapping[str, Any]) -> None:
    """Refuse keywords that are wrong now rather than at the first call."""
    options = dict(decoding)
    method = options.pop("method", None)
    options.pop("adapter", None)
    params = SamplingParams.of(options)
    parse_constraint(params.constraint)
    if method is not None:
        find(method).check(params)


def _be_runnable() -> None:
    """Choose the CPU where MindFormers' default, Ascend, is not there."""
    if ms.get_context("device_target") == "CPU":
        return
    try:
        ms.hal.device_count(ms.get_context("device_target"))
    except (RuntimeError, ValueError):
        log.warning("device_target %s is not there; set to CPU", ms.get_context("device_target"))
        ms.set_context(device_target="CPU")


def tokenizer_folder(tokenizer: Any) -> Path:
    """The folder with the files of a tokenizer; MindFormersError where it has none."""
    if isinstance(tokenizer, (str, Path)):
        places = [values.path("tokenizer", tokenizer, MindFormersError)]
    else:
        names = [getattr(tokenizer, name, None) for name in ("name_or_path", "vocab_file")]
        places = [Path(name) for name in names if isinstance(name, str) and name]
    for place in places:
        with suppress(OSError):  # of a name that is too long
            folder = place if place.is_dir() else place.parent
            if Tokenizer.exists(folder):
                return folder
    raise MindFormersError("tokenizer: no tokenizer.json or tokenizer.model found; give the folder that has them")
