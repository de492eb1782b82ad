"""A MindFormers pipeline with its own greedy decoding, with mindcold enabled, and mindcold alone: tokens a second.

    python tools/bench/mindformers_speed.py --data gsm8k-train.jsonl [--model smollm2-135m]
        [--adapter smollm2-arithmetic] [--dtype auto]

Prompts are the first 64 tokens of questions, 64 tokens follow each. The stock pipeline decodes the first `--stock`
prompts, the others take turns over all of them, CoLD with trigram drafts; what drafters learned in the round before
is forgotten. Prints one JSON object; a ratio is of total times, with its 95 % bootstrap interval over the calls.
"""

import argparse
import json
import runpy
import time
from pathlib import Path

import numpy as np
from batch import cpu_name

import mindcold.mindformers  # before MindFormers: keeps its logs out of the folder
from mindcold.model_folder import find_folder
from mindcold.tasks import gsm8k, statistics

HERE = Path(__file__).resolve().parent
COLD = {"method": "cold", "draft": "trigram"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure a MindFormers pipeline without and with mindcold.")
    parser.add_argument("--data", type=Path, required=True, help="training file of GSM8K")
    parser.add_argument("--model", default="smollm2-135m", help="a Llama")
    parser.add_argument("--adapter", default="smollm2-arithmetic")
    parser.add_argument("--dtype", default="auto", help="of mindcold's weights; auto is the network's float32")
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--stock", type=int, default=3, help="prompts for the stock pipeline")
    parser.add_argument("--tokens", type=int, default=64, help="of a prompt and of what follows it")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    folder, adapter = find_folder(args.model), find_folder(args.adapter)
    network = runpy.run_path(str(HERE.parent / "examples" / "mindformers_pipeline.py"))["llama"](folder)
    from mindformers import pipeline
    from mindformers.models.tokenization_utils_fast import PreTrainedTokenizerFast

    generate = pipeline(
        "text_generation", model=network, tokenizer=PreTrainedTokenizerFast.from_pretrained(str(folder))
    )
    fields = {"max_new_tokens": args.tokens, "eos_token_id": [-1], "do_sample": True, "top_k": 1}  # which is greedy
    llm = mindcold.load(folder, adapter, dtype="float32" if args.dtype == "auto" else args.dtype)
    texts = prompts(llm.tokenizer, args)

    def pipelined(text):
        return timed(lambda: generate(text, **fields))

    def alone(text):
        return timed(lambda: llm.generate(text, max_new_tokens=args.tokens, eos_token_id=-1, **COLD))

    pipelined(texts[0])
    seconds = {"stock": np.array([pipelined(text) for text in texts[: args.stock]])}
    mindcold.mindformers.enable(network, adapter, dtype=args.dtype, **COLD)
    pipelined(texts[0])
    alone(texts[0])
    rounds: dict[str, list[float]] = {"enabled": [], "alone": []}
    for _ in range(args.rounds):
        mindcold.mindformers.decoder_of(network).llm.forget_drafts()
        llm.forget_drafts()
        for text in texts:
            rounds["enabled"].append(pipelined(text))
            rounds["alone"].append(alone(text))
    seconds |= {name: np.array(values) for name, values in rounds.items()}
    theirs = np.full(len(seconds["enabled"]), seconds["stock"].mean())
    found = {
        "dtype": llm.dtype,
        "tokens_per_second": {name: round(args.tokens / values.mean(), 2) for name, values in seconds.items()},
        "enabled / stock": spread(theirs, seconds["enabled"]),
        "enabled / alone": spread(seconds["alone"], seconds["enabled"]),
        "seconds of stock": [round(value, 2) for value in seconds["stock"].tolist()],
    }
    print(json.dumps({"model": args.model, "cpu": cpu_name()} | found))


def prompts(tokenizer, args):
    """Texts of exactly as many tokens."""
    found = []
    for item in gsm8k.TASK.read(args.data):
        ids = tokenizer.encode(item.prompt)[: args.tokens]
        text = tokenizer.decode(ids)
        if len(ids) == args.tokens and tokenizer.encode(text) == ids:
            found.append(text)
        if len(found) == args.prompts:
            return found
    raise SystemExit(f"{args.data}: fewer than {args.prompts} prompts of {args.tokens} tokens")


def timed(call):
    """Seconds of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def spread(over, under):
    """Ratio of speeds from times in pairs, and the bounds of its interval."""
    found = statistics.ratio(over, under)
    return [round(value, 3) for value in (found.value, found.low, found.high)]


if __name__ == "__main__":
    main()
