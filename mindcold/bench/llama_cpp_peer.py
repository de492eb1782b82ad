"""llama.cpp on the same weights. Run by an interpreter that has llama-cpp-python.

    PYTHON llama_cpp_peer.py FILE CONTEXT

Loads a GGUF file with room for CONTEXT tokens and answers a line of JSON, {"task": "greedy", "prefill" or "step",
"ids": prompt, "new": tokens or rows}, with a line of JSON: {"ms": per token, for the prompt or for the step (the median
of several, every row with its logits), "tokens": those of a generation}.
"""

import ctypes
import json
import os
import statistics
import sys
import time

REPEATS, AT_ONCE = 7, 512


def main() -> None:
    """Serve measurements until standard input ends."""
    import llama_cpp as api
    import numpy as np

    path, size = sys.argv[1], int(sys.argv[2])
    api.llama_backend_init()
    silent = api.llama_log_callback(lambda level, text, data: None)
    api.llama_log_set(silent, ctypes.c_void_p(0))
    loaded = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
    if not loaded:
        raise SystemExit("llama.cpp could not load the model")
    settings = api.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = size, AT_ONCE, AT_ONCE
    settings.n_threads = settings.n_threads_batch = int(os.environ.get("MINDCOLD_THREADS", os.cpu_count() or 1))
    context = api.llama_init_from_model(loaded, settings)
    if not context:
        raise SystemExit("llama.cpp could not make a context")
    vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(loaded))
    memory, batch = api.llama_get_memory(context), api.llama_batch_init(AT_ONCE, 0, 1)

    def decode(first, ids, every=False):
        """Ids at the positions from `first` on; the last of them, or every one, with its logits."""
        for begin in range(0, len(ids), AT_ONCE):
            part = ids[begin : begin + AT_ONCE]
            batch.n_tokens = len(part)
            for i, token in enumerate(part):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, first + begin + i, 1, 0
                batch.logits[i] = every or begin + i == len(ids) - 1
            if api.llama_decode(context, batch):
                raise SystemExit("llama_decode failed")

    def best():
        logits = np.ctypeslib.as_array(api.llama_get_logits_ith(context, -1), (vocab,))
        return int(logits.argmax())

    def measure(task, ids, new=0):
        api.llama_memory_clear(memory, True)
        times, tokens = [], []
        if task == "step":
            decode(0, ids[:-new])
            for _ in range(REPEATS):
                start = time.perf_counter()
                decode(len(ids) - new, ids[-new:], every=True)
                times.append(1e3 * (time.perf_counter() - start))
                api.llama_memory_seq_rm(memory, 0, len(ids) - new, -1)
            return {"ms": statistics.median(times)}
        start = time.perf_counter()
        decode(0, ids)
        tokens.append(best())
        if task == "prefill":
            return {"ms": 1e3 * (time.perf_counter() - start)}
        for i in range(new - 1):
            start = time.perf_counter()
            decode(len(ids) + i, tokens[-1:])
            tokens.append(best())
            times.append(1e3 * (time.perf_counter() - start))
        return {"ms": statistics.median(times), "tokens": tokens}

    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
