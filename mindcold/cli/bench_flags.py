"""The flags of `mindcold bench`, and which benchmark has which."""

from typing import Any

from mindcold.cli import params

FLAGS: dict[str, dict[str, Any]] = {
    "--model": {"default": "tiny-base", "help": "model folder or zoo name"},
    "--adapter": {"help": "adapter folder or zoo name (default one of the zoo, for tiny-base)"},
    "--shape": {"help": "random weights of this shape instead: qwen2.5-0.5b or llama3.2-1b"},
    "--dtype": {"default": "auto", "help": "auto, float32, bfloat16 or int8"},
    "--dtypes": {"default": "auto", "help": "comma-separated: auto, float32, bfloat16, int8"},
    "--backend": {"default": "auto", "help": "body of the operators"},
    "--prompt-tokens": {"type": int, "default": 64, "help": "length of the random prompt"},
    "--new-tokens": {"type": int, "help": "tokens per generation (default 32; drafts and accuracy 80)"},
    "--prefill-tokens": {"type": int, "help": "also measure a prompt of this length"},
    "--rows": {"default": "1,2,4,8,16,32", "help": "comma-separated: rows of the steps that are measured"},
    "--context": {"help": "comma-separated: also steps of one row after so many tokens, such as 4096,8192"},
    "--batch": {"default": "1", "help": "comma-separated: prompts decoded together"},
    "--rates": {"default": "0.5,0.7,0.9", "help": "comma-separated: shares of draft tokens that are right"},
    "--data": {
        "action": params.AsPath,
        "metavar": "FILE",
        "help": "JSONL with prompt (lookahead: and keywords) instead",
    },
    "--warm-up": {
        "action": params.AsPath,
        "metavar": "FILE",
        "help": "JSONL with prompt and completion to fill draft tables from",
    },
    "--count": {"type": int, "default": 40, "help": "prompts"},
    "--validation": {
        "action": "store_true",
        "help": "of the shipped tasks the validation split, to choose settings on",
    },
    "--only": {"nargs": "+", "default": (), "metavar": "NAME", "help": "cases whose names hold one of these"},
    "--draft-model": {"default": "tiny-draft", "help": "model that drafts for CDSL: folder or zoo name"},
    "--rounds": {"type": int, "default": 5, "help": "measured rounds, everything in turn"},
    "--peer": {"metavar": "PYTHON", "help": "interpreter with torch, transformers and peft"},
    "--peer-dtypes": {"default": "float32,bfloat16", "help": "dtypes of that peer"},
    "--peer-copies": {
        "default": "2",
        "choices": ("1", "2"),
        "help": "2: its base is a plain model beside base + LoRA, twice the memory",
    },
    "--llama": {"metavar": "PYTHON", "help": "interpreter with llama-cpp-python"},
    "--picture": {
        "action": params.AsPath,
        "metavar": "FILE",
        "help": "draw step times against rows to this file; needs matplotlib",
    },
    "--output": {"action": params.AsPath, "metavar": "FOLDER", "help": "also write the result there, as JSON"},
    "--json": {"action": "store_true", "help": "print one JSON object"},
}
COMMON = ("--model", "--adapter", "--backend", "--output", "--json")
TASK = ("--dtype", "--data", "--count", "--validation", "--rounds", "--new-tokens", "--only", "--warm-up")
RANDOM = ("--shape", "--prompt-tokens", "--rounds")
PEERS = ("--peer", "--peer-dtypes", "--peer-copies", "--llama", "--picture")
BENCHMARKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "methods": (
        "time per token of base greedy, LoRA greedy and CoLD on random prompts, alone and in batches",
        (*RANDOM, "--dtypes", "--new-tokens", "--batch", "--prefill-tokens"),
    ),
    "steps": (
        "time of steps of 1 to 32 rows beside reading the weights once",
        (*RANDOM, "--dtypes", "--rows", "--context"),
    ),
    "peers": (
        "transformers + peft, and llama.cpp, on the same weights",
        (*RANDOM, "--dtypes", "--rows", "--new-tokens", "--prefill-tokens", *PEERS),
    ),
    "drafts": ("what trigram drafts gain per token and per answer", TASK),
    "lookahead": ("what CDLH and CDSL cost and bring on keyword tasks", (*TASK, "--draft-model")),
    "replay": ("what drafts with set hit rates gain", (*RANDOM, "--dtype", "--new-tokens", "--rates")),
    "accuracy": ("what a weight dtype costs in exactness", ("--data", "--count", "--validation", "--new-tokens")),
}
"""Name to summary and flags; the function of the name measures."""
