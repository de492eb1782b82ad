"""The other side of the parity tests: random small models and what transformers and peft make of them.

Runs in an interpreter that has torch, transformers and peft, and imports nothing of mindcold:

    python tests/parity/peer.py CASE SEED FOLDER    # writes model/, adapter/ (and other/), golden.npz into FOLDER
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

NEW_TOKENS = 64
ALPHA, BETA = 0.1, 0.5
MARGIN = 5e-4  # of the best score over the second at every golden step, so that rounding decides no token

SHAPE = {
    "vocab_size": 120,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 160,
    "initializer_range": 0.35,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
BLOCK = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# model: the class prefix and its settings; save: file dtype, shard size, spelling of config.json; lora: LoraConfig
CASES: dict[str, dict[str, Any]] = {
    "llama": {
        "model": ("Llama", {"num_key_value_heads": 4, "tie_word_embeddings": False}),
        "save": {"shard": "40KB"},
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
        "other": {"r": 6, "lora_alpha": 3, "target_modules": ["v_proj", "down_proj"]},
    },
    "llama-scaled": {
        "model": ("Llama", {"num_key_value_heads": 2, "tie_word_embeddings": True, "rope_parameters": LLAMA3}),
        "save": {"dtype": "bfloat16", "old": True},
        "lora": {"r": 4, "lora_alpha": 4, "target_modules": "all-linear", "use_rslora": True},
    },
    "llama-biased": {
        "model": (
            "Llama",
            {
                "num_key_value_heads": 2,
                "tie_word_embeddings": False,
                "attention_bias": True,
                "mlp_bias": True,
                "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5},
            },
        ),
        "save": {"dtype": "float16", "old": True},
        "lora": {
            "r": 3,
            "lora_alpha": 6,
            "target_modules": r".*(self_attn|mlp)\..*_proj",
            "exclude_modules": ["up_proj", "model.layers.0.self_attn.k_proj"],
        },
    },
    "mistral": {
        "model": (
            "Mistral",
            {"num_key_value_heads": 2, "head_dim": 12, "sliding_window": 13, "tie_word_embeddings": False},
        ),
        "save": {},
        "lora": {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": BLOCK,
            "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 5},
            "alpha_pattern": {"model.layers.0.self_attn.v_proj": 3, "down_proj": 16},
        },
    },
    "qwen2": {
        "model": (
            "Qwen2",
            {"hidden_size": 56, "num_attention_heads": 7, "num_key_value_heads": 1, "tie_word_embeddings": True},
        ),
        "save": {"old": True},
        "lora": {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": ["k_proj", "o_proj", "up_proj"],
            "layers_to_transform": [1],
        },
    },
    "qwen3": {
        "model": ("Qwen3", {"num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": False}),
        "save": {"dtype": "bfloat16"},
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "gate_proj"], "modules_to_save": ["lm_head"]},
    },
    "qwen3-embedding": {
        "model": ("Qwen3", {"num_key_value_heads": 1, "head_dim": 8, "tie_word_embeddings": False}),
        "save": {},
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["lm_head", "v_proj"], "modules_to_save": ["embed_tokens"]},
    },
}


def make_model(case: dict[str, Any], seed: int, folder: Path) -> None:
    """A random model folder; norms and biases are random too, so that each of them shows in the logits."""
    import torch
    import transformers

    name, settings = case["model"]
    torch.manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(**(SHAPE | settings))
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "norm" in key:
                value.add_(torch.randn_like(value) * 0.2)
            elif key.endswith("bias"):
                value.add_(torch.randn_like(value) * 0.3)
    save = case["save"]
    model.to(getattr(torch, save.get("dtype", "float32")))
    model.save_pretrained(folder, max_shard_size=save.get("shard", "5GB"))
    if save.get("old"):
        respell(folder / "config.json")


def respell(path: Path) -> None:
    """Rewrite config.json as transformers wrote it before version 5."""
    raw = json.loads(path.read_text())
    rope = raw.pop("rope_parameters")
    raw["rope_theta"] = rope.pop("rope_theta")
    raw["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    raw["torch_dtype"] = raw.pop("dtype")
    path.write_text(json.dumps(raw, indent=2))


def make_adapter(model_folder: Path, settings: dict[str, Any], seed: int, folder: Path) -> None:
    """A random adapter folder, far from zero, as peft saves it."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed + 1)
    model = get_peft_model(load_base(model_folder), LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "lora_" in key:
                value.copy_(torch.randn_like(value) * 0.25)
            elif "modules_to_save" in key:
                value.add_(torch.randn_like(value) * 0.15)
    for config in model.peft_config.values():
        config.base_model_name_or_path = model_folder.name  # no path of the machine that made it
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)


def load_base(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def golden(folder: Path, prompts: list[list[int]]) -> tuple[dict[str, Any], float]:
    """Logits at every prompt position and 64 tokens of each method, by recomputing from the start at every step.

    Returns arrays by name, and the smallest margin of the best score over the second.
    """
    import torch
    from peft import PeftModel

    torch.set_num_threads(1)
    streams = {"base": load_base(folder / "model")}
    for name in ("adapter", "other"):
        if (folder / name).is_dir():
            streams[name] = PeftModel.from_pretrained(load_base(folder / "model"), folder / name).eval()

    @torch.inference_mode()
    def logits(stream: str, ids: list[int]) -> Any:
        return streams[stream](torch.tensor([ids])).logits[0].float()

    def cold(expert: Any, base: Any) -> Any:
        keep = expert >= expert.max() + math.log(ALPHA)
        return torch.where(keep, (1 + BETA) * expert - BETA * base, torch.tensor(-math.inf))

    methods = {
        "greedy_base": lambda ids: logits("base", ids)[-1],
        "greedy": lambda ids: logits("adapter", ids)[-1],
        "cold": lambda ids: cold(logits("adapter", ids)[-1], logits("base", ids)[-1]),
    }
    if "other" in streams:
        methods["greedy_other"] = lambda ids: logits("other", ids)[-1]
    arrays, margin = {}, math.inf
    for i, prompt in enumerate(prompts):
        arrays[f"prompt_{i}"] = torch.tensor(prompt).numpy()
        for stream in streams:
            arrays[f"logits_{stream}_{i}"] = logits(stream, prompt).numpy()
        for method, score in methods.items():
            ids = list(prompt)
            for _ in range(NEW_TOKENS):
                scores = score(ids)
                best, second = scores.topk(2)[0].tolist()
                margin = min(margin, best - second)
                if margin < MARGIN:
                    return arrays, margin
                ids.append(int(scores.argmax()))
            arrays[f"{method}_{i}"] = torch.tensor(ids[len(prompt) :]).numpy()
    return arrays, margin


def beams(folder: Path, prompts: list[list[int]]) -> list[dict[str, Any]]:
    """What beam search of transformers gives, with and without ends of text."""
    import torch
    from peft import PeftModel

    model = PeftModel.from_pretrained(load_base(folder / "model"), folder / "adapter").eval()
    found = []
    for prompt in prompts:
        for count, penalty, eos in ((4, 1.0, []), (2, 0.0, [7, 23, 51]), (5, 2.0, [7, 23, 51]), (4, 1.0, [7, 23, 51])):
            ids = model.generate(
                input_ids=torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=24,
                num_beams=count,
                length_penalty=penalty,
                early_stopping=False,
                do_sample=False,
                eos_token_id=eos or None,
                pad_token_id=0,
            )
            options = {"num_beams": count, "length_penalty": penalty, "eos_token_id": eos, "max_new_tokens": 24}
            found.append({"prompt": prompt, "options": options, "token_ids": ids[0, len(prompt) :].tolist()})
    return found


def make_case(name: str, seed: int, folder: Path) -> None:
    """Write one case; seeds are tried in turn until no golden step is close."""
    import shutil

    import numpy as np

    case = CASES[name]
    for attempt in range(seed, seed + 50):
        shutil.rmtree(folder, ignore_errors=True)
        make_model(case, attempt, folder / "model")
        make_adapter(folder / "model", case["lora"], attempt, folder / "adapter")
        if "other" in case:
            make_adapter(folder / "model", case["other"], attempt + 1, folder / "other")
        rng = np.random.default_rng(attempt)
        prompts = [rng.integers(0, 120, length).tolist() for length in (9, 21)]
        arrays, margin = golden(folder, prompts)
        if margin >= MARGIN:
            np.savez_compressed(folder / "golden.npz", **arrays)
            (folder / "beams.json").write_text(json.dumps(beams(folder, prompts)) + "\n")
            return
    raise SystemExit(f"{name}: no seed from {seed} on keeps every margin above {MARGIN}")


if __name__ == "__main__":
    make_case(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
