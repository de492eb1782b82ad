"""MindFormers networks beside the golden tokens of transformers + peft."""

import numpy as np

import mindcold.mindformers as mf
from tests.parity.test_golden import FIXTURES, METHODS, NEW_TOKENS


def check(name, make, whole=False):
    """A network of a parity model, handed over and in place: 64 tokens of base, LoRA and CoLD, and CoLD with drafts.

    An adapter that replaces a `whole` matrix is not for a network in place, which then decodes as the base alone.
    """
    folder = FIXTURES / name
    network = make(folder / "model")
    fields = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "eos_token_id": [-1], "pad_token_id": 0}
    cases = [(method, settings | {"draft": "none"}) for method, settings in METHODS.items()]
    cases.append(("cold", METHODS["cold"] | {"draft": "trigram"}))
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        for backend, adapter in (("engine", folder / "adapter"), ("network", None if whole else folder / "adapter")):
            mf.enable(network, adapter, backend=backend)
            for method, settings in cases if adapter else cases[:1]:
                for i in (0, 1):
                    prompt = golden[f"prompt_{i}"].tolist()
                    found = network.generate([prompt], mindcold=settings, **fields)[0].tolist()
                    assert found == prompt + golden[f"{method}_{i}"].tolist(), (backend, settings, i)
            mf.disable(network)
