"""LoRA steps with torch and peft, to compare `tools/bench/training.py` with; runs in an interpreter that has them.

    python tools/bench/training_peer.py MODEL --batch 8 --length 128 --rank 16 --labelled 1.0 --dtype bfloat16

Prints one JSON object: seconds of every step after the first, and the peak memory. "autocast" keeps float32 weights and
multiplies in bfloat16; "bfloat16" keeps the base in bfloat16 too.
"""

import argparse
import json
import os
import resource
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def main() -> None:
    """Read the command line, train on random tokens, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--labelled", type=float, default=1.0, help="part of the positions that carry a label")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dtype", choices=("float32", "autocast", "bfloat16"), default="bfloat16")
    args = parser.parse_args()

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(2)
    kept = torch.bfloat16 if args.dtype == "bfloat16" else torch.float32
    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=kept)
    config = LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, config)
    model.train()
    optimizer = torch.optim.AdamW([item for item in model.parameters() if item.requires_grad], lr=1e-4)
    tokens = torch.randint(3, base.config.vocab_size, (args.batch, args.length))
    labels = tokens.clone()
    labels[:, : round((1 - args.labelled) * args.length)] = -100
    seconds = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "autocast"):
            loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds[1:], "peak_bytes": peak, "loss": float(loss.detach())}))


if __name__ == "__main__":
    main()
