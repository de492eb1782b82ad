"""llama.cpp on the same weights. Run by an interpreter that has llama-cpp-python and gguf, not imported by mindcold.

    PYTHON llama_cpp.py MODEL PROMPT_TOKENS FOLDER

Writes the weights of a HuggingFace folder (one bfloat16 safetensors file) to FOLDER as GGUF, loads them, then measures
on request: a line N on standard input gives a line with the milliseconds of a step with N rows behind the prompt, every
row with its logits (the median of several).
"""

import ctypes
import json
import os
import statistics
import sys
import time
from pathlib import Path

# run as a script, this file must not hide the package of its own name
sys.path = [item for item in sys.path if Path(item or ".").resolve() != Path(__file__).resolve().parent]

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    """HuggingFace tensor name to GGUF tensor name."""
    if name.startswith("model.layers."):
        number, rest = name.removeprefix("model.layers.").split(".", 1)
        module, kind = rest.rsplit(".", 1)
        return f"blk.{number}.{NAMES[module]}.{kind}"
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    return whole.get(name, "output.weight")


def convert(model: Path, target: Path) -> dict:
    """Write a GGUF file of the model and return its configuration."""
    import gguf
    import numpy as np

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(target), config["model_type"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(4096)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    data = (model / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        if len(entry["shape"]) == 1:
            wide = np.frombuffer(data[begin:end], np.uint16).astype(np.uint32) << 16
            writer.add_tensor(gguf_name(name), wide.view(np.float32))
        else:
            value = np.frombuffer(data[begin:end], np.uint8).reshape(entry["shape"][0], -1)
            writer.add_tensor(gguf_name(name), value, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return config


def main() -> None:
    """Serve measurements until standard input ends."""
    import llama_cpp as api

    model, prompt_tokens, folder = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    path = folder / "model.gguf"
    config = convert(model, path)
    api.llama_backend_init()
    silent = api.llama_log_callback(lambda level, text, data: None)
    api.llama_log_set(silent, ctypes.c_void_p(0))
    loaded = api.llama_load_model_from_file(str(path).encode(), api.llama_model_default_params())
    if not loaded:
        raise SystemExit("llama.cpp could not load the model")
    settings = api.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = 1024, 512, 512
    settings.n_threads = settings.n_threads_batch = int(os.environ.get("MINDCOLD_THREADS", os.cpu_count() or 1))
    context = api.llama_new_context_with_model(loaded, settings)
    batch = api.llama_batch_init(512, 0, 1)

    def decode(first: int, count: int) -> None:
        batch.n_tokens = count
        for i in range(count):
            batch.token[i] = 3 + (7919 * (first + i)) % (config["vocab_size"] - 3)
            batch.pos[i] = first + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = 1
        if api.llama_decode(context, batch):
            raise SystemExit("llama_decode failed")

    decode(0, prompt_tokens)
    print("ready", flush=True)
    for line in sys.stdin:
        rows, times = int(line), []
        for _ in range(7):
            start = time.perf_counter()
            decode(prompt_tokens, rows)
            times.append(1e3 * (time.perf_counter() - start))
            api.llama_memory_seq_rm(api.llama_get_memory(context), 0, prompt_tokens, -1)
        print(statistics.median(times), flush=True)


if __name__ == "__main__":
    main()
