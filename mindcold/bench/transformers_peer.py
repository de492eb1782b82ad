"""transformers + peft on the same weights: what a user would run instead. Run by an interpreter that has them.

    PYTHON transformers_peer.py MODEL ADAPTER DTYPE COPIES

Answers a line of JSON, {"task": "greedy", "lora", "cold", "prefill" or "step", "ids": prompt, "new": tokens or rows},
with a line of JSON: {"ms": per token, for the prompt or for the step, "tokens": those of a generation}. With COPIES = 2
the base is a plain model without PEFT, and base + LoRA a second one, which takes the memory of the weights twice; with
1 there is one PEFT model, whose adapter is switched off at every token of the base. CoLD is two passes per token, as
one writes it with these libraries.
"""

import json
import math
import os
import statistics
import sys
import time
from contextlib import nullcontext

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ALPHA, BETA, REPEATS = 0.1, 0.5, 7


def main() -> None:
    """Serve measurements until standard input ends."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(int(os.environ.get("MINDCOLD_THREADS", os.cpu_count() or 1)))
    folder, adapter, dtype, copies = sys.argv[1:5]
    kind = getattr(torch, dtype)

    def load():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=kind).eval()

    base = load()
    expert = PeftModel.from_pretrained(load() if copies == "2" else base, adapter).to(kind).eval()
    if copies == "1":
        base = expert  # peft has put its layers into the base itself

    def forward(ids, past, adapted, heads=1):
        model = expert if adapted else base
        with model.disable_adapter() if model is expert and not adapted else nullcontext():
            out = model(input_ids=ids, past_key_values=past, use_cache=True, logits_to_keep=heads)
        return out.logits[0].float(), out.past_key_values

    def decode(streams, ids, new):
        ids, past, times, tokens = torch.tensor([ids]), [None] * len(streams), [], []
        for _ in range(new):
            start = time.perf_counter()
            logits = []
            for i, adapted in enumerate(streams):
                scores, past[i] = forward(ids, past[i], adapted)
                logits.append(scores[-1])
            scores = logits[0]
            if len(logits) == 2:
                keep = scores >= scores.max() + math.log(ALPHA)
                scores = torch.where(keep, (1 + BETA) * scores - BETA * logits[1], torch.tensor(-math.inf))
            ids = scores.argmax().reshape(1, 1)
            tokens.append(ids.item())
            times.append(1e3 * (time.perf_counter() - start))
        return {"ms": statistics.median(times[1:]), "tokens": tokens}

    def step(ids, rows):
        """Rows after all but the last `rows` ids, every row with its logits."""
        _, past = forward(torch.tensor([ids[:-rows]]), None, False)
        times, draft = [], torch.tensor([ids[-rows:]])
        for _ in range(REPEATS):
            start = time.perf_counter()
            forward(draft, past, False, rows)
            times.append(1e3 * (time.perf_counter() - start))
            past.crop(-rows)
        return {"ms": statistics.median(times)}

    cases = {"greedy": [False], "lora": [True], "cold": [True, False]}
    print("ready", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["task"] == "prefill":
                start = time.perf_counter()
                forward(torch.tensor([asked["ids"]]), None, False)
                answer = {"ms": 1e3 * (time.perf_counter() - start)}
            elif asked["task"] == "step":
                answer = step(asked["ids"], asked["new"])
            else:
                answer = decode(cases[asked["task"]], asked["ids"], asked["new"])
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
