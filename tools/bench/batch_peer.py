"""transformers + peft in static batches, left padded: what a user would run instead of `mindcold batch`.

    PYTHON batch_peer.py MODEL ADAPTER DTYPE NEW_TOKENS

Reads a line {"method": "lora" or "cold", "ids": [[...], ...]} on standard input and gives tokens a second. The base is
a model without PEFT, base + LoRA a second one; CoLD is two passes a token, as one writes it with these libraries.
"""

import json
import math
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
SIZE, ALPHA, BETA = 8, 0.1, 0.5


def main() -> None:
    """Serve measurements until standard input ends."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder, adapter, dtype, new_tokens = sys.argv[1:5]
    kind = getattr(torch, dtype)

    def load():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=kind).eval()

    base, expert = load(), PeftModel.from_pretrained(load(), adapter).to(kind).eval()

    def decode(batch, models):
        longest = max(map(len, batch))
        ids = torch.tensor([[0] * (longest - len(item)) + item for item in batch])
        mask = torch.tensor([[0] * (longest - len(item)) + [1] * len(item) for item in batch])
        past = [None] * len(models)
        for _ in range(int(new_tokens)):
            logits = []
            for i, model in enumerate(models):
                places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
                how = {"past_key_values": past[i], "attention_mask": mask, "position_ids": places, "logits_to_keep": 1}
                out = model(input_ids=ids, use_cache=True, **how)
                past[i] = out.past_key_values
                logits.append(out.logits[:, -1].float())
            scores = logits[0]
            if len(logits) == 2:
                keep = scores >= scores.max(-1, keepdim=True).values + math.log(ALPHA)
                scores = torch.where(keep, (1 + BETA) * scores - BETA * logits[1], torch.tensor(-math.inf))
            ids = scores.argmax(-1, keepdim=True)
            mask = torch.cat([mask, torch.ones_like(ids)], 1)

    print("ready", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            asked = json.loads(line)
            models = [expert, base] if asked["method"] == "cold" else [expert]
            began, prompts = time.perf_counter(), asked["ids"]
            for i in range(0, len(prompts), SIZE):
                decode(prompts[i : i + SIZE], models)
            print(len(prompts) * int(new_tokens) / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
