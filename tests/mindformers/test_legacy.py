"""MindFormers' LlamaForCausalLM with its weights handed over: the tokens of mindcold's own engine, and nothing else."""

from tests.mindformers.script import ROOT, needs_mindformers, run

pytestmark = needs_mindformers

PROGRAM = """
import runpy
import mindcold, mindcold.mindformers as mf
import numpy as np, pytest
from mindcold.model_folder import find_folder

llama = runpy.run_path("{root}/tools/examples/mindformers_pipeline.py")["llama"]
folder, adapter = find_folder("tiny-base"), find_folder("tiny-steps")
network, other = llama(folder), llama(folder)
stock_generate = type(network).generate
llm = mindcold.load(folder, adapter, dtype="float32")
ids = [[5, 9, 23, 77, 100, 45, 8], [31, 64, 12, 800, 7, 2, 2]]
prompts = [ids[0], ids[1][:5]]
before = [item.asnumpy().copy() for item in network.get_parameters()]

assert mf.enable(network, adapter, draft="trigram") is network
cases = [("greedy", dict(adapter="base", draft="none")), ("greedy", dict()), ("cold", dict()),
         ("cold", dict(draft="none")), ("sample", dict(seed=3, temperature=0.7)), ("beam", dict(draft="none"))]
for method, options in cases:
    found = network.generate(ids, max_new_tokens=40, do_sample=False, eos_token_id=[-1], pad_token_id=2,
                             mindcold={{"method": method, **options}})
    expected = llm.generate(prompts, method, max_new_tokens=40, eos_token_id=-1, **({{"draft": "trigram"}} | options))
    assert [row.tolist() for row in found] == [p + out.token_ids for p, out in zip(prompts, expected)], method
    assert found[0].dtype == np.int32

# MindFormers' own fields
base = {{"adapter": "base", "draft": "none"}}
greedy = dict(do_sample=False, pad_token_id=2, eos_token_id=[-1], mindcold=base)
assert len(network.generate(ids[:1], max_length=20, **greedy)[0]) == 20
out = network.generate(ids[:1], max_new_tokens=8, return_dict_in_generate=True, **greedy)
alone = dict(adapter="base", max_new_tokens=8, eos_token_id=-1)
assert out["sequences"][0].tolist() == ids[0] + llm.generate(ids[0], **alone).token_ids
once = network.generate(ids[:1], max_new_tokens=8, **(greedy | dict(do_sample=True, top_k=1)))
assert once[0].tolist() == out["sequences"][0].tolist()  # the best of one is greedy
assert mf.decoder_of(network).outputs[0].stats.method == "greedy"
drawn = llm.generate(ids[0], "sample", top_k=5, temperature=0.9, seed=4, **alone)
own = greedy | dict(do_sample=True, top_k=5, temperature=0.9)
found = network.generate(ids[:1], max_new_tokens=8, seed=4, **own)
assert found[0].tolist()[7:] == drawn.token_ids


class Recorder:
    def __init__(self):
        self.values = []

    def put(self, value):
        self.values.append(value.tolist() if isinstance(value, np.ndarray) else value)

    def end(self):
        self.values.append("end")


# rows of different lengths, ahead of each other by their drafts, come as columns
ends = llm.generate(prompts, adapter="base", max_new_tokens=12, eos_token_id=-1)[1].token_ids[6]
twins = [ids[0], ids[0]]
options = dict(do_sample=False, pad_token_id=2, mindcold={{"adapter": "base", "method": "aded"}})
for batch, end in ((ids, ends), (twins, -1), (twins, -1)):  # drafts are known by then: steps give several tokens
    recorder = Recorder()
    rows = network.generate(batch, max_new_tokens=12, streamer=recorder, eos_token_id=[end], **options)
    new = [row.tolist()[len(prompt):] for row, prompt in zip(rows, prompts if batch is ids else batch)]
    assert (len(new[0]) != len(new[1])) == (batch is ids)
    columns = [[row[i] if i < len(row) else 2 for row in new] for i in range(max(map(len, new)))]
    assert recorder.values == [batch, *columns, "end"], recorder.values
assert max(len(output.stats.accept_lengths) for output in mf.decoder_of(network).outputs) > 2
for field, value in (("output_scores", True), ("num_beams", 3), ("encoder_repetition_penalty", 1.2), ("no_repeat", 2),
                     ("logits_processor", [print]), ("max_length", 3)):
    with pytest.raises(ValueError, match=field):
        network.generate(ids[:1], **(greedy | {{field: value}}))
with pytest.raises(mindcold.errors.RequestError, match="alpha"):
    network.generate(ids[:1], max_new_tokens=4, do_sample=False, mindcold={{"method": "cold", "alpha": 7}})
with pytest.raises(mindcold.errors.RequestError, match="alhpa"):
    mf.enable(network, adapter, method="cold", alhpa=0.1)

# the other network, and this one afterwards, are as they were
assert "generate" not in vars(other) and type(network).generate is stock_generate
mf.disable(network)
assert "generate" not in vars(network) and not [name for name in vars(network) if name.startswith("_mindcold")]
for item, value in zip(network.get_parameters(), before):
    assert np.array_equal(item.asnumpy(), value)
stock = network.generate(ids[:1], max_new_tokens=8, do_sample=True, top_k=1, eos_token_id=[-1], pad_token_id=2)
assert stock[0].tolist() == once[0].tolist()

# MindSpore's own operators, which take float32 matrices as they are, give the same
mf.enable(other, operators="builtin", method="greedy")
found = other.generate(ids[:1], max_new_tokens=8, do_sample=False, eos_token_id=[-1], pad_token_id=2)
assert found[0].tolist() == once[0].tolist()
import os
assert os.listdir(".") == [], os.listdir(".")
print("all well")
"""


def test_a_legacy_llama_decodes_as_our_own_engine(tmp_path):
    assert "all well" in run(PROGRAM.format(root=ROOT), tmp_path)


def test_mindcold_alone_does_not_import_mindformers(tmp_path):
    assert run("import sys, mindcold; print('mindformers' in sys.modules)", tmp_path).strip() == "False"
