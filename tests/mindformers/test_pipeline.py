"""The stock pipeline, mindcold's own task, and a YAML file with a section of its own, on a small Llama."""

import ast
import json

from tests.mindformers.script import ROOT, needs_mindformers, run

pytestmark = needs_mindformers

PIPELINE = """
import json, runpy
import mindcold, mindcold.mindformers as mf
from mindcold.model_folder import find_folder

llama = runpy.run_path("{root}/tools/examples/mindformers_pipeline.py")["llama"]
folder, adapter = find_folder("tiny-base"), find_folder("tiny-steps")
network, llm = llama(folder), mindcold.load(folder, adapter, dtype="float32")
import mindspore as ms
from mindformers import LlamaTokenizer, pipeline

tokenizer = LlamaTokenizer(str(folder / "tokenizer.model"))
prompt = "Question: Tom has 12 apples. Answer:"
fields = dict(max_new_tokens=12, do_sample=True, top_k=1)


def texts(generate, prompts=prompt, **keywords):
    found = [item["text_generation_text"] for item in generate(prompts, **(fields | keywords))]
    return [text for item in found for text in (item if isinstance(item, list) else [item])]


def ours(method="greedy", adapter=None, text=prompt, **keywords):
    return text + " " + llm.generate(text, method, adapter=adapter, max_new_tokens=12, **keywords).text


assert len({{ours(), ours(adapter="base"), ours("cold")}}) == 3
stock = pipeline("text_generation", model=network, tokenizer=tokenizer)
alone = texts(stock)
assert alone == [ours(adapter="base")]

task = pipeline("mindcold_text_generation", model=network, tokenizer=tokenizer,
                mindcold={{"adapter": adapter, "method": "cold", "draft": "trigram"}})
assert texts(task) == [ours("cold")] and texts(task, mindcold={{"method": "greedy"}}) == [ours()]
assert texts(stock) == alone  # the network's own `generate` is not touched by the task

mf.enable(network, adapter, method="cold", tokenizer=folder)
assert texts(stock) == [ours("cold")]
assert texts(stock, [prompt, prompt], batch_size=2) == 2 * [ours("cold")]
assert texts(stock, mindcold={{"adapter": "base"}}) == [ours("cold", "base")]
words = {{"method": "cdlh", "constraint": ["pencil"], "candidates": 3, "lookahead": 3}}
assert "pencil" in ours(text="The farmer", **words)
assert texts(stock, "The farmer", mindcold=words) == [ours(text="The farmer", **words)]
mf.disable(network)
assert texts(stock) == alone
ms.save_checkpoint(network, "weights.ckpt")
count = 48 - len(tokenizer(prompt)["input_ids"])  # as the YAML file says
print(json.dumps(prompt + " " + llm.generate(prompt, "cold", max_new_tokens=count).text))
"""

PREDICT = """
import runpy, sys
sys.argv = ["mindformers_predict.py", "--config", "predict.yaml"]
sys.argv += ["--predict_data", {prompt!r}, "--register_path", {plugin!r}]
runpy.run_path("{root}/tools/examples/mindformers_predict.py", run_name="__main__")
"""
PROMPT = "Question: Tom has 12 apples. Answer:"
CHANGED = {
    "./output/smollm2.ckpt": "./weights.ckpt",
    "vocab_size: 49152": "vocab_size: 2048",
    "hidden_size: 576": "hidden_size: 256",
    "intermediate_size: 1536": "intermediate_size: 704",
    "num_layers: 30": "num_layers: 4",
    "num_heads: 9": "num_heads: 8",
    "n_kv_heads: 3": "n_kv_heads: 4",
    "max_position_embedding: 8192": "max_position_embedding: 512",
    "theta: 100000": "theta: 10000",
    "type: LlamaTokenizerFast": "type: LlamaTokenizer",
    "./output/tokenizer.json": f"{ROOT}/model_zoo/tiny-base/tokenizer.model",
    "add_bos_token: False": "add_bos_token: True",
    "<|im_end|>": "</s>",
    "max_decode_length: 96": "max_decode_length: 48",
    "adapter: smollm2-commongen": "adapter: tiny-steps",
}


def test_pipelines_and_a_yaml_file(tmp_path):
    expected = json.loads(run(PIPELINE.format(root=ROOT), tmp_path).splitlines()[-1])
    text = (ROOT / "tools/examples/mindformers_predict.yaml").read_text(encoding="utf-8")
    for theirs, mine in CHANGED.items():
        assert theirs in text, theirs
        text = text.replace(theirs, mine)
    (tmp_path / "predict.yaml").write_text(text, encoding="utf-8")
    plugin = run("import runpy; runpy.run_module('mindcold.mindformers', run_name='__main__')", tmp_path).strip()
    run(PREDICT.format(root=ROOT, prompt=PROMPT, plugin=plugin.splitlines()[-1]), tmp_path)
    found = (tmp_path / "text_generation_result.txt").read_text(encoding="utf-8")
    assert ast.literal_eval(found) == [{"text_generation_text": [expected]}]
