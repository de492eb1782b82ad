"""Run by an interpreter with torch and transformers: python smollm2.py FOLDER OUT.npz PROMPTS.json.

PROMPTS.json holds texts and lists of chat messages. Written are, for prompt i, `ids_i` (as transformers tokenises it),
`logits_i` float32 [tokens, vocab] and `tokens_i` (64 greedy tokens), all in float32.
"""

import json
import sys

NEW_TOKENS = 64


def main(folder: str, target: str, source: str) -> None:
    """Write what transformers makes of the prompts."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    arrays = {}
    with open(source, encoding="utf-8") as file:  # noqa: PTH123
        prompts = json.load(file)
    for i, prompt in enumerate(prompts):
        if isinstance(prompt, list):
            prompt = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        else:
            ids = tokenizer(prompt)["input_ids"]
        with torch.no_grad():
            batch = torch.tensor([ids])
            arrays[f"logits_{i}"] = model(batch).logits[0].numpy()
            out = model.generate(
                batch, attention_mask=torch.ones_like(batch), max_new_tokens=NEW_TOKENS, do_sample=False
            )
        arrays[f"ids_{i}"], arrays[f"tokens_{i}"] = np.array(ids), out[0, len(ids) :].numpy()
    np.savez(target, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
