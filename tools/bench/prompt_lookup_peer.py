"""transformers' prompt lookup on the same prompts: what its users would draft with. Run by an interpreter that has it.

    PYTHON prompt_lookup_peer.py MODEL DTYPE DRAFT_TOKENS NEW_TOKENS

Answers a line of JSON, {"ids": prompt}, with a line of JSON: {"tokens": greedy, "passes": of the model, "seconds"}.
"""

import json
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def main() -> None:
    """Serve prompts until standard input ends."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(int(os.environ.get("MINDCOLD_THREADS", os.cpu_count() or 1)))
    folder, dtype, draft_tokens, new_tokens = sys.argv[1:5]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    passes = []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    options = {"do_sample": False, "max_new_tokens": int(new_tokens), "prompt_lookup_num_tokens": int(draft_tokens)}
    print("ready", flush=True)
    with torch.inference_mode():
        for line in sys.stdin:
            ids = torch.tensor([json.loads(line)["ids"]])
            passes.clear()
            began = time.perf_counter()
            out = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
            answer = {"tokens": out[0, ids.shape[1] :].tolist(), "passes": len(passes)}
            print(json.dumps(answer | {"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
