"""llama.cpp on the same weights. Run by an interpreter that has llama-cpp-python, gguf and safetensors.

    PYTHON llama_cpp_peer.py MODEL PROMPT_TOKENS FOLDER

Writes the weights of a HuggingFace folder (one bfloat16 safetensors file) to FOLDER as GGUF, loads them, then measures
on request: a line N on standard input gives a line with the milliseconds of a step with N rows after the prompt, every
row with its logits (the median of several). For timing alone: rows of query and key are not permuted as some
architectures want, and there is no vocabulary.
"""

import ctypes
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any


def convert(model: Path, target: Path) -> dict[str, Any]:
    """Write a GGUF file of the model and return its configuration."""
    import gguf
    import numpy as np
    from safetensors import deserialize

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    layers = config["num_hidden_layers"]
    arch = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == config["model_type"])
    names = gguf.get_tensor_name_map(arch, layers)
    writer = gguf.GGUFWriter(str(target), config["model_type"])
    writer.add_block_count(layers)
    writer.add_context_length(4096)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    for name, tensor in deserialize((model / "model.safetensors").read_bytes()):
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None or tensor["dtype"] != "BF16":
            raise SystemExit(f"{model}: {name}: a bfloat16 tensor that GGUF has a name for is expected")
        if len(tensor["shape"]) == 1:
            wide = np.frombuffer(tensor["data"], np.uint16).astype(np.uint32) << 16
            writer.add_tensor(known, wide.view(np.float32))
        else:
            value = np.frombuffer(tensor["data"], np.uint8).reshape(tensor["shape"][0], -1)
            writer.add_tensor(known, value, raw_dtype=gguf.GGMLQuantizationType.BF16)
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
