"""What a user would run instead: transformers + peft. Run by an interpreter that has them, not imported by mindcold.

    PYTHON peer.py MODEL ADAPTER DTYPE PROMPT_TOKENS NEW_TOKENS

Loads the model once, then measures on request: a line "greedy", "lora", "cold" or "prefill N" on standard input gives a
line with milliseconds (per token, or for the prompt) on standard output. Cold is contrastive LoRA decoding as one
writes it with these libraries: two passes per token, the adapter switched off for the second.
"""

import math
import os
import statistics
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ALPHA, BETA = 0.1, 0.5


def main() -> None:
    """Serve measurements until standard input ends."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(int(os.environ.get("MINDCOLD_THREADS", os.cpu_count() or 1)))
    folder, adapter, dtype, prompt_tokens, new_tokens = sys.argv[1:6]
    kind = getattr(torch, dtype)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype=kind), adapter).to(kind).eval()
    vocab = model.config.vocab_size

    def prompt(length):
        return torch.randint(3, vocab, (1, length), generator=torch.Generator().manual_seed(0))

    def forward(ids, past, adapted):
        settings = {"input_ids": ids, "past_key_values": past, "use_cache": True, "logits_to_keep": 1}
        if adapted:
            out = model(**settings)
        else:
            with model.disable_adapter():
                out = model(**settings)
        return out.logits[0, -1].float(), out.past_key_values

    def decode(streams):
        ids, past, times = prompt(int(prompt_tokens)), [None] * len(streams), []
        for _ in range(int(new_tokens)):
            start = time.perf_counter()
            logits = []
            for i, adapted in enumerate(streams):
                scores, past[i] = forward(ids, past[i], adapted)
                logits.append(scores)
            if len(logits) == 2:
                expert, base = logits
                keep = expert >= expert.max() + math.log(ALPHA)
                scores = torch.where(keep, (1 + BETA) * expert - BETA * base, torch.tensor(-math.inf))
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
