"""The other side of the training tests: what torch and peft make of a model and an adapter that was trained here.

Runs in an interpreter that has torch, transformers and peft, and imports nothing of mindcold:

    python tests/training/peft_peer.py MODEL ADAPTER FILE.npz    # reads tokens and labels, adds logits and gradients
"""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def main(model_folder: str, adapter_folder: str, file: str) -> None:
    """Logits of the adapted model [batch, length, vocab], mean loss, and its gradient for every A and B."""
    import numpy as np
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with np.load(file) as arrays:
        tokens, labels = torch.tensor(arrays["tokens"]).long(), torch.tensor(arrays["labels"]).long()
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, adapter_folder, is_trainable=True).eval()
    logits = model(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss.backward()
    found = {"tokens": tokens.numpy(), "labels": labels.numpy(), "loss": loss.detach().numpy()}
    found["logits"] = logits.detach().numpy()
    for name, item in model.named_parameters():
        if item.grad is not None:
            found[name.removeprefix("base_model.model.").replace(".modules_to_save", "").replace(".default", "")] = (
                item.grad.numpy()
            )
    np.savez(file, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
