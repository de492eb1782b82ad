"""`mindcold convert`: a GGUF file to a HuggingFace model folder."""

import argparse

from mindcold.cli import params
from mindcold.convert.gguf_model import DTYPES, convert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument(
        "source", action=params.AsPath, metavar="MODEL.gguf", help="file to read, of llama, qwen2 or qwen3"
    )
    parser.add_argument("folder", action=params.AsPath, metavar="FOLDER", help="new folder to write")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of the weights (default bfloat16)")


def run(args: argparse.Namespace) -> int:
    """Convert and print the folder."""
    print(convert(args.source, args.folder, args.dtype))
    return 0
