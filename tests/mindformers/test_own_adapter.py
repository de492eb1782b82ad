"""A network that carries LoRA of its own: decoded with it, and with fused layers as MindFormers arranges them."""

from tests.mindformers.legacy import LEGACY
from tests.mindformers.script import needs_mindformers, run

pytestmark = needs_mindformers

PROGRAM = (
    LEGACY
    + """
import pytest
import mindcold.mindformers as mf

greedy = dict(max_new_tokens=8, do_sample=False, eos_token_id=[-1], pad_token_id=0)
for concat, targets in ((False, ".*wq|.*wv|.*w1"), (True, ".*w_qkv|.*w_gate_hidden|.*w2")):
    net = network(concat, targets)
    plain = logits(net)
    mf.enable(net, method="cold")
    for item in net.get_parameters():  # weights count as they are at the first call
        if "lora" in item.name:
            item.set_data(ms.Tensor(0.3 * rng.standard_normal(item.shape), ms.float32))
    expected = logits(net)
    assert np.abs(expected - plain).max() > 1
    rows = net.generate([IDS[:9]], **greedy)
    llm = mf.decoder_of(net).llm
    assert llm.adapters == ["default"]
    assert close(llm.logits(IDS, "default"), expected) and close(llm.logits(IDS, "base"), plain)
    assert rows[0].tolist()[9:] == llm.generate(IDS[:9], "cold", max_new_tokens=8, eos_token_id=-1).token_ids
    mf.disable(net)
    with pytest.raises(mf.MindFormersError, match="adapter: the network carries one of its own"):
        mf.enable(net, here / "model")
    with pytest.raises(mf.MindFormersError, match="network: has LoRA inside"):
        mf.enable(net, backend="network")
net.network.network.lm_head.lora_A = ms.Parameter(ms.Tensor([1.0]), name="lm_head.lora_A")
with pytest.raises(mf.MindFormersError, match="lm_head.lora_A: LoRA of this kind"):
    mf.enable(net)
print("all well")
"""
)


def test_a_network_with_lora_of_its_own(tmp_path):
    assert "all well" in run(PROGRAM, tmp_path)
