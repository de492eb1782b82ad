"""transformers + peft on the same weights: what a user would run instead. Run by an interpreter that has them.

    PYTHON transformers_peer.py MODEL ADAPTER DTYPE PROMPT_TOKENS NEW_TOKENS COPIES

Measures on request: a line "greedy", "lora", "cold" or "prefill N" on standard input gives a line with milliseconds
(per token, or for the prompt) on standard output. With COPIES = 2 the base is a plain model without PEFT, and base +
LoRA a second one, which takes the memory of the weights twice; with 1 there is one PEFT model, whose adapter is
switched off at every token of the base. CoLD is two passes per token, as one writes it with these libraries.
"""

import math
import os
import statistics
import sys
import time
from contextlib import nullcontext

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ALPHA, BETA = 0.1, 0.5


def main() -> None:
    """Serve measurements until standard input ends."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(int(os.environ.get("MINDCOLD_THREADS", os.cpu_count() or 1)))
    folder, adapter, dtype, prompt_tokens, new_tokens, copies = sys.argv[1:7]
    kind = getattr(torch, dtype)

    def load():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=kind).eval()

    base = load()
    vocab = base.config.vocab_size
    expert = PeftModel.from_pretrained(load() if copies == "2" else base, adapter).to(kind).eval()
    if copies == "1":
        base = expert  # peft has put its layers into the base itself

    def prompt(length):
        return torch.randint(3, vocab, (1, length), generator=torch.Generator().manual_seed(0))

    def forward(ids, past, adapted):
        model = expert if adapted else base
        with model.disable_adapter() if model is expert and not adapted else nullcontext():
            out = model(input_ids=ids, past_key_values=past, use_cache=True, logits_to_keep=1)
        return out.logits[0, -1].float(), out.past_key_values

    def decode(streams):
        ids, past, times = prompt(int(prompt_tokens)), [None] * len(streams), []
        for _ in range(int(new_tokens)):
            start = time.perf_counter()
            logits = []
            for i, adapted in enumerate(streams):
                scores, past[i] = forward(ids, past[i], adapted)
                logits.append(scores)
            scores = logits[0]
            if len(logits) == 2:
                keep = scores >= scores.max() + math.log(ALPHA)
                scores = torch.where(keep, (1 + BETA) * scores - BETA * logits[1], torch.tensor(-math.inf))
            ids = scores.argmax().reshape(1, 1)
            times.append(1e3 * (time.perf_counter() - start))
        return statistics.median(times[1:])

    cases = {"greedy": [False], "lora": [True], "cold": [True, False]}
    print("ready", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            words = line.split()
            if words[0] == "prefill":
                ids = prompt(int(words[1]))
                start = time.perf_counter()
                forward(ids, None, False)
                print(1e3 * (time.perf_counter() - start), flush=True)
            else:
                print(decode(cases[words[0]]), flush=True)


if __name__ == "__main__":
    main()
