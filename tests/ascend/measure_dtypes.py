"""What the dtypes of an Ascend device cost in exactness, over the stand-ins: python -m tests.ascend.measure_dtypes.

Logits of SmolLM2-135M at every position of a text, with and without its adapter, beside those of float32 (or of the
same int8 weights) on CPU: the largest deviation, and how often the best token is the same, also of the contrast at
beta 0.5.
"""

import numpy as np

import mindcold
from mindcold.engine import StepPlan
from tests.ascend.stand_ins import ascend_graph

TEXT = (
    "Write a sentence with the words dog, ball, park: The dog plays with a ball in the park. The ferry leaves at nine "
    "from the old harbour. It calls at three islands before noon, and it comes back from the third island at six. "
    "What should I think of before I adopt a dog?"
)
POSITIONS = 64


def logits(dtype):
    """Of the base and of the adapter, float32 [positions, vocab] each."""
    llm = mindcold.load("smollm2-135m", "smollm2-commongen", dtype=dtype)
    ids, found = llm.tokenizer.encode(TEXT)[:POSITIONS], []
    llm.engine.reserve(100)
    for adapter in (-1, 0):
        plan = StepPlan()
        plan.extend(llm.engine.open([adapter], 80), ids)
        found.append(llm.engine.logits(plan))
    return found


def measure(dtype):
    """A row of figures."""
    wanted = logits("int8" if dtype == "int8" else "float32")
    with ascend_graph():
        found = logits(dtype)
    base, expert = ((mine.argmax(1) == its.argmax(1)).sum() for mine, its in zip(found, wanted, strict=True))
    contrast = [(own[1] + 0.5 * (own[1] - own[0])).argmax(1) for own in (found, wanted)]
    deviation = max(np.abs(mine - its).max() for mine, its in zip(found, wanted, strict=True))
    largest = max(np.abs(its).max() for its in wanted)
    return {
        "deviation": round(float(deviation), 3),
        "of": round(float(largest), 1),
        "base": int(base),
        "adapter": int(expert),
        "contrast": int((contrast[0] == contrast[1]).sum()),
        "positions": len(contrast[0]),
    }


if __name__ == "__main__":
    for name in ("float32", "int8", "bfloat16"):
        print(name, measure(name), flush=True)
