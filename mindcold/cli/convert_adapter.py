"""`mindcold convert-adapter`: a LoRA adapter from one naming to another."""

import argparse
import json

from mindcold.adapter_formats import AUTO, FORMATS, LAYOUTS, convert_adapter
from mindcold.cli import params
from mindcold.config import ModelConfig
from mindcold.model_folder import find_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument("--model", required=True, help="folder or name of the base model")
    parser.add_argument("--adapter", required=True, help="folder, file of tensors or name of the adapter to read")
    parser.add_argument("--output", required=True, action=params.AsPath, metavar="FOLDER", help="new folder to write")
    parser.add_argument("--to", required=True, choices=list(FORMATS), help="format to write")
    parser.add_argument(
        "--from", dest="format", choices=[AUTO, *FORMATS], default=AUTO, help="format to read (default: seen from it)"
    )
    parser.add_argument(
        "--layout", choices=list(LAYOUTS), help="of fused layers in the mcore format (default interleaved)"
    )
    parser.add_argument("--lora-alpha", type=float, help="alpha of an adapter without adapter_config.json")
    parser.add_argument(
        "--name", help="of the adapter in an S-LoRA folder; to write, the default is the name of the new folder"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Convert and print the folder, and which layers were stacked."""
    model = find_folder(args.model)
    done = convert_adapter(
        find_folder(args.adapter),
        args.output,
        ModelConfig.from_folder(model),
        args.to,
        format=args.format,
        layout=args.layout,
        lora_alpha=args.lora_alpha,
        name=args.name or args.output.name,
        base=str(args.model),
    )
    if args.json:
        print(json.dumps(done.to_dict()))
        return 0
    print(done.folder)
    if done.stacked:
        print(
            f"{len(done.stacked)} fused layers had a matrix A of their own for each part; these are stacked, "
            f"and the rank is now {done.rank} (lora_alpha {done.lora_alpha:g})"
        )
    return 0
