"""MindSpore's own front end takes the whole step for Ascend: names, arguments, shapes and dtypes of its operators."""

import mindspore as ms
import numpy as np
import pytest

import mindcold
from mindcold.engine.step import ScoreStep
from tests.ascend.own_process.check_tokens import MODELS, SIZE
from tests.ascend.stand_ins import ascend_bodies
from tests.folders import write_adapter, write_model


@pytest.mark.parametrize(("model", "dtype"), [("qwen2", "bfloat16"), ("qwen3", "float32")])
def test_the_step_is_exported_with_the_operators_of_the_device(tmp_path, model, dtype):
    """Export parses, infers shapes and dtypes and writes the graph; kernels are looked for on a device alone."""
    shape = SIZE | MODELS[model]
    folders = write_model(tmp_path / "model", **shape), write_adapter(tmp_path / "adapter", model=shape)
    with ascend_bodies():
        engine = mindcold.load(*folders, dtype=dtype).engine
        engine.reserve(100)
        step = ScoreStep(engine._built(), contrast=True, scores=False, backend="builtin").set_train(False)
    inputs = np.zeros((11, 16), np.int32), np.zeros((4, 16), np.int32), np.zeros((16, 2), np.float32)
    ms.export(step, *map(ms.Tensor, inputs), file_name=str(tmp_path / "step"), file_format="MINDIR")
    content = (tmp_path / "step.mindir").read_bytes()
    for name in (b"RmsNorm", b"Swiglu", b"RotaryPositionEmbedding", b"FusedInferAttentionScore", b"ScatterNdUpdate"):
        assert name in content
