"""`mindcold info`: what a model folder holds, and which operator bodies can run here."""

import argparse
import importlib.metadata
import json
import platform
from typing import Any

from mindcold.errors import RequestError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument("--model", help="HuggingFace model folder, or a name from the model zoo")
    parser.add_argument("--adapter", help="PEFT adapter folder, or a name from the model zoo; needs --model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print versions, the zoo, the operators, and the model and adapter if given."""
    if args.adapter is not None and args.model is None:
        raise RequestError("--adapter: --model is expected with it")
    facts = machine()
    if args.model is not None:
        facts |= describe(args.model, args.adapter)
    if args.json:
        print(json.dumps(facts))
        return 0
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, item in value.items():
                print(f"  {name}: {item}")
        else:
            print(f"{key}: {value}")
    return 0


def machine() -> dict[str, Any]:
    """Versions, zoo names, and for each operator its bodies: "runs", or the reason why not."""
    from mindcold import model_zoo
    from mindcold.ops import registry

    operators = {}
    for name in registry.names():
        bodies = registry.get(name).available()
        operators[name] = "; ".join(f"{body}: {reason or 'runs'}" for body, reason in bodies.items())
    packages = ("mindcold", "mindspore", "numpy")
    return {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "zoo": ", ".join(model_zoo.names()),
        "operators": operators,
    }


def describe(model: str, adapter: str | None) -> dict[str, Any]:
    """The configuration of a model folder and the reach of an adapter; weights are checked as for decoding."""
    from mindcold.adapter_formats import read_adapter
    from mindcold.checkpoint import Checkpoint
    from mindcold.config import ModelConfig
    from mindcold.decoding_defaults import DecodingDefaults
    from mindcold.model.shapes import scalar_count, weight_shapes
    from mindcold.model_folder import find_folder
    from mindcold.tokenizer import Tokenizer

    folder = find_folder(model)
    config = ModelConfig.from_folder(folder)
    checkpoint = Checkpoint(folder, config)
    for name, shape in weight_shapes(config).items():
        checkpoint.tensor(name, shape)  # refused if damaged
    facts: dict[str, Any] = {
        "model": {
            "folder": str(folder),
            "architecture": config.model_type,
            "parameters": f"{scalar_count(config):,}",
            "layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "heads": f"{config.num_attention_heads} query, {config.num_key_value_heads} key/value of {config.head_dim}",
            "vocab_size": config.vocab_size,
            "context": config.max_position_embeddings,
            "stored dtype": config.dtype,
            "end-of-text ids": list(config.eos_token_ids),
            "tokenizer": "yes" if Tokenizer.exists(folder) else "none (token ids only)",
        }
    }
    if adapter:
        defaults = DecodingDefaults.of_folder(find_folder(adapter))
        loaded = read_adapter(find_folder(adapter), config)
        facts["adapter"] = {
            "folder": str(find_folder(adapter)),
            "rank": loaded.rank,
            "adapted modules": len(loaded.pairs),
            "parameters": f"{sum(pair.a.size + pair.b.size for pair in loaded.pairs.values()):,}",
            "replaced modules": ", ".join(loaded.replaced) or "none",
        }
        if defaults != DecodingDefaults():
            facts["decoding defaults"] = defaults.to_dict()
    return facts
