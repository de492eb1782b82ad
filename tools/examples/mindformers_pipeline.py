"""A MindFormers pipeline as users have it, and the one line that lets mindcold decode for it.

    python tools/examples/mindformers_pipeline.py [--model smollm2-135m] [--adapter smollm2-commongen]

Everything but the line at "the added line" is MindFormers alone. On CPU its old Llama network is the one that runs; it
has no cache there and computes the whole text for every token. `--save FILE.ckpt` keeps its weights for
`mindformers_predict.yaml`; `--json` prints texts and seconds.
"""

import argparse
import json
import time

import mindcold.mindformers  # before MindFormers: keeps its logs out of the folder
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.model.shapes import weight_shapes
from mindcold.model_folder import find_folder
from mindcold.tokenizer import Tokenizer

SEQUENCE_LENGTH = 256


def main() -> None:
    """Run the pipeline without and with mindcold."""
    parser = argparse.ArgumentParser(description="A MindFormers pipeline, without and with mindcold.")
    parser.add_argument("--model", default="smollm2-135m", help="HuggingFace folder of a Llama")
    parser.add_argument("--adapter", default="smollm2-commongen", help="LoRA adapter")
    parser.add_argument("--prompt", default="Write one sentence with these words: dog, ball, park.")
    parser.add_argument("--max-new-tokens", type=int, default=24)
    parser.add_argument("--save", help="file to keep the network's weights in")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    import mindspore as ms
    from mindformers import pipeline
    from mindformers.models.tokenization_utils_fast import PreTrainedTokenizerFast

    folder = find_folder(args.model)
    prompt = Tokenizer(folder).render_chat([{"role": "user", "content": args.prompt}])
    network, tokenizer = llama(folder), PreTrainedTokenizerFast.from_pretrained(str(folder))
    if args.save:
        ms.save_checkpoint(network, args.save)
    generate = pipeline("text_generation", model=network, tokenizer=tokenizer)
    # top_k=1 is greedy: MindFormers' own arg max is not there on CPU
    keywords = {"max_new_tokens": args.max_new_tokens, "do_sample": True, "top_k": 1}
    found = {"mindformers": timed(generate, prompt, keywords)}

    # the added line
    mindcold.mindformers.enable(network, args.adapter, method="cold", draft="trigram", tokenizer=tokenizer)

    found["cold"] = timed(generate, prompt, keywords)
    words = {"method": "cdsl", "constraint": ["dog", "ball", "park"]}
    found["cdsl"] = timed(generate, prompt, keywords | {"mindcold": words})
    base = {"method": "greedy", "adapter": "base", "draft": "none"}
    found["base"] = timed(generate, prompt, keywords | {"mindcold": base})
    if args.json:
        print(json.dumps(found))
    else:
        for name, result in found.items():
            print(f"{name:12} {result['seconds']:6.2f} s  {result['text']}")


def timed(generate, prompt, keywords):
    """The text of a call and the seconds of its second run: the first compiles."""
    generate(prompt, **keywords)
    began = time.perf_counter()
    (found,) = generate(prompt, **keywords)
    text = found["text_generation_text"]
    text = (text[0] if isinstance(text, list) else text).rpartition("assistant")[2].strip()
    return {"text": text, "seconds": round(time.perf_counter() - began, 3)}


def llama(folder):
    """MindFormers' LlamaForCausalLM with the weights of a HuggingFace folder."""
    import mindspore as ms
    from mindformers.core.context import build_context
    from mindformers.models.llama import LlamaConfig, LlamaForCausalLM

    context = {"mode": "GRAPH_MODE", "device_target": "CPU", "postprocess_use_numpy": True}
    build_context({"use_legacy": True, "run_mode": "predict", "context": context, "parallel": {}})
    config = ModelConfig.from_folder(folder)
    kinds = ("compute_dtype", "param_init_type", "layernorm_compute_type", "softmax_compute_type", "rotary_dtype")
    network = LlamaForCausalLM(
        LlamaConfig(
            seq_length=SEQUENCE_LENGTH,
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_layers=config.num_hidden_layers,
            num_heads=config.num_attention_heads,
            n_kv_heads=config.num_key_value_heads,
            max_position_embedding=config.max_position_embeddings,
            rms_norm_eps=config.rms_norm_eps,
            theta=config.rope.theta,
            tie_word_embeddings=config.tie_word_embeddings,
            bos_token_id=config.bos_token_id,
            eos_token_id=config.eos_token_ids[0],
            pad_token_id=config.eos_token_ids[0],
            use_past=False,
            use_flash_attention=False,
            use_rope_slice=True,
            fused_rms_norm=False,
            **dict.fromkeys(kinds, "float32"),
        )
    )
    checkpoint, weights = Checkpoint(folder, config), {}
    for name, shape in weight_shapes(config).items():
        theirs = network.convert_name(name)
        weights[theirs] = ms.Parameter(ms.Tensor(checkpoint.tensor(name, shape)), name=theirs)
    missing, unused = ms.load_param_into_net(network, weights)
    assert not missing and not unused
    return network


if __name__ == "__main__":
    main()
