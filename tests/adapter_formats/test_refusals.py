"""Adapters that cannot be used: one line that names the file and the tensor or field, and says what to do."""

import io
import pickle
import zipfile

import ml_dtypes
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mindcold.adapter_formats import convert_adapter, read_adapter
from mindcold.adapter_formats.ckpt_file import write_ckpt
from mindcold.config import parse_config
from mindcold.errors import AdapterError
from tests.adapter_formats.adapters import write_peft
from tests.folders import LLAMA, write_json

CONFIG = parse_config(LLAMA, "test")
WQ = "model.layers.0.attention.wq.mindpet_delta_lora_"
QKV = "decoder.layers.1.self_attention.linear_qkv.lora_"
SETTINGS = {"r": 4, "lora_alpha": 8, "peft_type": "LORA"}


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def pet():
    """A legacy adapter of one layer."""
    return {f"{WQ}a": ones(4, 32), f"{WQ}b": ones(32, 4)}


def refused(path, tensors=None, settings=SETTINGS, config=CONFIG, **options):
    """The message of the error that reading a folder with these tensors raises."""
    if tensors is not None:
        path.mkdir(exist_ok=True)
        save_file(tensors, path / "adapter_model.safetensors")
        if settings is not None:
            write_json(path / "adapter_config.json", settings)
    with pytest.raises(AdapterError) as caught:
        read_adapter(path, config, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({f"{WQ}b": None}, f"{WQ}a: matrix B of model.layers.0.attention.wq is missing"),
        ({f"{WQ}a": None}, f"{WQ}b: matrix A of model.layers.0.attention.wq is missing"),
        ({f"{WQ}a": ones(4, 16)}, f"{WQ}a: shape [4, 16], but [4, 32] is expected; this adapter was made for another"),
        ({f"{WQ}b": ones(16, 4)}, f"{WQ}b: shape [16, 4], but [32, 4] is expected; this adapter was made for another"),
        ({f"{WQ}b": ones(32, 3)}, f"{WQ}b: shape [32, 3], but [32, 4]"),
        ({f"{WQ}a": ones(4)}, f"{WQ}a: shape [4], but [rank, in]"),
        ({f"{WQ}a": ones(8, 32), f"{WQ}b": ones(32, 8)}, f"{WQ}a: rank 8, but adapter_config.json says r = 4"),
        ({f"{WQ}a": ones(4, 32) * np.nan}, f"{WQ}a: holds NaN or infinite"),
        ({f"{WQ}b": ones(32, 4) * np.inf}, f"{WQ}b: holds NaN or infinite"),
        ({f"{WQ}b": ones(32, 4, dtype=np.float16)}, f"{WQ}b: dtype F16, but {WQ}a is F32; use one dtype"),
        ({f"{WQ}b": ones(32, 4, dtype=ml_dtypes.bfloat16)}, f"{WQ}b: dtype BF16, but"),
        ({f"{WQ}a": ones(4, 32, dtype=np.int8), f"{WQ}b": ones(32, 4, dtype=np.int8)}, f"{WQ}a: dtype I8 is not"),
        (
            {WQ.replace(".0.", ".2.") + "a": ones(4, 32)},
            "layers.2.attention.wq.mindpet_delta_lora_a: this base",
        ),
        (
            {"model.tok_embeddings.mindpet_delta_lora_a": ones(4, 96)},
            "a low-rank update of model.tok_embeddings",
        ),
        ({f"other.{WQ}a": ones(4, 32), f"{WQ}a": None}, f"other.{WQ}a: a low-rank update of other.model.layers.0"),
        ({WQ.replace("mindpet", "tk") + "a": ones(4, 32)}, "is the same matrix under another name"),
        (
            {
                "model.layers.0.attention.w_qkv.mindpet_delta_lora_" + s: ones(*n)
                for s, n in (("a", (4, 32)), ("b", (64, 4)))
            },
            "model.layers.0.self_attn.q_proj is adapted twice",
        ),
        ({"model.layers.0.attention.wq.weight": ones(32, 32)}, "has no layer 1 of 2; it is one stage of a pipeline"),
    ],
)
def test_tensors(tmp_path, change, message):
    tensors = {name: value for name, value in (pet() | change).items() if value is not None}
    found = refused(tmp_path / "adapter", tensors)
    assert message in found and "adapter_model.safetensors" in found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": None}, "adapter_config.json: r: missing"),
        ({"r": "4"}, "adapter_config.json: r: an integer"),
        ({"lora_alpha": None}, "adapter_config.json: lora_alpha: missing"),
        ({"lora_alpha": 0}, "adapter_config.json: lora_alpha: a number above 0"),
        ({"use_dora": True}, "use_dora: True is set"),
        ({"peft_type": "ADALORA"}, "peft_type: 'ADALORA' is not supported"),
        ({"rank_pattern": {"wq": 2}}, "rank_pattern: is set, and MindFormers has one rank"),
        ({"alpha_pattern": {"wq": 2}}, "alpha_pattern: is set, and MindFormers has one rank"),
    ],
)
def test_settings(tmp_path, settings, message):
    assert message in refused(tmp_path / "adapter", pet(), SETTINGS | settings)


def test_alpha_is_never_guessed(tmp_path):
    message = refused(tmp_path / "bare", pet(), None)
    assert "lora_alpha is not known; pass lora_alpha= (mindcold convert-adapter --lora-alpha)" in message
    pair = read_adapter(tmp_path / "bare", CONFIG, lora_alpha=6).pairs["model.layers.0.self_attn.q_proj"]
    assert (pair.b == 1.5).all() and (pair.a == 1).all()
    assert "8, but lora_alpha=6 was given; leave that out" in refused(tmp_path / "both", pet(), lora_alpha=6)
    assert read_adapter(tmp_path / "both", CONFIG, lora_alpha=8).pairs
    for value in (0, -1, float("nan"), float("inf"), True, "8"):
        assert "lora_alpha: a positive number" in refused(tmp_path / "bare", lora_alpha=value)
    other = {
        "model.layers.1.attention.wo.mindpet_delta_lora_" + side: ones(*n)
        for side, n in (("a", (3, 32)), ("b", (32, 3)))
    }
    assert "rank 3, but others have rank 4" in refused(tmp_path / "ranks", pet() | other, None, lora_alpha=6)
    write_peft(tmp_path / "peft", CONFIG)
    assert "says it for a PEFT adapter; leave it out" in refused(tmp_path / "peft", lora_alpha=10)


def test_rslora_and_a_config_without_peft_type(tmp_path):
    save = {"model.layers.0.attention.wq.lora_a": ones(4, 32), "model.layers.0.attention.wq.lora_b": ones(32, 4)}
    write_ckpt(tmp_path / "adapter_model.ckpt", save)
    write_json(tmp_path / "adapter_config.json", {"r": 4, "lora_alpha": 8, "use_rslora": True})
    assert (read_adapter(tmp_path, CONFIG).pairs["model.layers.0.self_attn.q_proj"].b == 4).all()


def test_formats_that_cannot_be_told(tmp_path):
    nothing = refused(tmp_path / "a", {"model.layers.0.attention.wq.weight": ones(32, 32)})
    assert "holds no LoRA tensor; known are peft (...base_model.model." in nothing and "pynative" in nothing
    strange = refused(tmp_path / "b", {"transformer.h.0.attn.c_attn.lora_A.weight": ones(4, 32)})
    assert "transformer.h.0.attn.c_attn.lora_A.weight: not named as in any known" in strange
    mcore = {f"{QKV}A.weight": ones(4, 32), f"{QKV}B.weight": ones(64, 4)}
    both = refused(tmp_path / "c", pet() | mcore)
    assert "formats pet and mcore" in both and "--from" in both
    assert set(read_adapter(tmp_path / "c", CONFIG, format="pet").pairs) == {"model.layers.0.self_attn.q_proj"}
    assert len(read_adapter(tmp_path / "c", CONFIG, format="mcore").pairs) == 3
    assert "holds no tensor of the slora format" in refused(tmp_path / "c", format="slora")
    assert "format: 'other' is not one of auto, peft" in refused(tmp_path / "c", format="other")
    assert "pet is always interleaved" in refused(tmp_path / "c", format="pet", layout="contiguous")


def test_adapters_that_match_nothing_are_not_the_base(tmp_path):
    """PyNative names under a prefix that MindFormers does not write."""
    names = {
        "net.decoder.layers.0.mlp.linear_fc2.lora_a": ones(4, 48),
        "net.decoder.layers.0.mlp.linear_fc2.lora_b": ones(32, 4),
    }
    assert "not named as in any known" in refused(tmp_path / "a", names)
    assert "a low-rank update of net.decoder.layers.0.mlp.linear_fc2" in refused(tmp_path / "a", format="pynative")


def test_optimizer_states_of_other_parameters_do_not_matter(tmp_path):
    states = {f"adam_m.{name}": value * 3 for name, value in pet().items()} | {"adam_v.model.norm_out.weight": ones(32)}
    everything = pet() | states | {"global_step": ones(1, dtype=np.int32), "model.norm_out.weight": ones(32)}
    tmp_path.joinpath("x").mkdir()
    save_file(everything, tmp_path / "x" / "net.safetensors")
    assert (read_adapter(tmp_path / "x", CONFIG, lora_alpha=4).pairs["model.layers.0.self_attn.q_proj"].b == 1).all()


def test_files(tmp_path):
    assert "nowhere: no such file or folder" in refused(tmp_path / "nowhere")
    (tmp_path / "x.bin").write_bytes(b"x")
    assert "x.bin: an adapter folder, a .safetensors file or a MindSpore .ckpt file" in refused(tmp_path / "x.bin")
    folder = tmp_path / "steps"
    folder.mkdir()
    for step in (1, 2):
        save_file(pet(), folder / f"net-{step}.safetensors")
    assert "is in net-1.safetensors and in net-2.safetensors; name the file to read" in refused(folder, lora_alpha=8)
    assert read_adapter(folder / "net-2.safetensors", CONFIG, lora_alpha=8).pairs


def checkpoint(path, tensors, dims=None):
    """A .ckpt file; with `dims`, its first tensor claims this shape."""
    from mindspore.train.checkpoint_pb2 import Checkpoint

    write_ckpt(path, tensors)
    if dims is not None:
        message = Checkpoint.FromString(path.read_bytes())
        del message.value[0].tensor.dims[:]
        message.value[0].tensor.dims.extend(dims)
        path.chmod(0o644)
        path.write_bytes(message.SerializeToString())
    return path


def test_pickles_are_refused_before_anything_reads_them(tmp_path):
    """A pickle that would write a file when it is loaded."""
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self):
            return (open, (str(trap), "w"))

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    for content in (pickle.dumps(Bomb()), packed.getvalue()):
        path = tmp_path / "net.ckpt"
        path.write_bytes(content)
        assert "net.ckpt: a pickle, and pickle files are never read" in refused(path, lora_alpha=8)
    path.write_bytes(pickle.dumps(Bomb(), protocol=0))
    assert "net.ckpt: not a MindSpore checkpoint" in refused(path, lora_alpha=8)
    assert not trap.exists()


@pytest.mark.parametrize("dims", [[4000, 4000], [4, 31], [-4, -32], [4, 32, 0], [1 << 40, 1 << 40]])
def test_shapes_that_the_data_does_not_fill_are_refused(tmp_path, dims):
    path = checkpoint(tmp_path / "net.ckpt", pet(), dims)
    assert f"net.ckpt: {WQ}a: shape {dims} of Float32, but it has 512 bytes of data" in refused(path, lora_alpha=8)


def test_damaged_checkpoints(tmp_path, monkeypatch):
    path = checkpoint(tmp_path / "net.ckpt", pet())
    whole = path.read_bytes()
    assert read_adapter(path, CONFIG, lora_alpha=8).pairs
    path.chmod(0o644)
    for content in (whole[:-10], whole[:1], b"\x0a" + b"garbage" * 20, b"", b"text"):
        path.write_bytes(content)
        message = refused(path, lora_alpha=8)
        assert "net.ckpt: damaged, encrypted or not" in message or "net.ckpt: not a MindSpore" in message
    path.write_bytes(whole[: len(whole) // 2] + whole)
    assert "net.ckpt" in refused(path, lora_alpha=8)
    path.write_bytes(whole + whole)
    assert "is in the file twice" in refused(path, lora_alpha=8)
    path.write_bytes(whole)
    for tensors, match in (
        ({f"{WQ}a": ones(4, 32) * np.nan, f"{WQ}b": ones(32, 4)}, f"{WQ}a: holds NaN"),
        ({f"{WQ}a": ones(4, 32), f"{WQ}b": ones(16, 4)}, f"{WQ}b: shape [16, 4], but [32, 4]"),
        ({f"{WQ}a": ones(4, 32), f"{WQ}b": ones(32, 4, dtype=np.float16)}, f"{WQ}b: dtype F16, but {WQ}a is F32"),
    ):
        assert match in refused(checkpoint(tmp_path / "net.ckpt", tensors), lora_alpha=8)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 100})())
    assert "twice that is not free in memory" in refused(checkpoint(tmp_path / "net.ckpt", pet()), lora_alpha=8)
    assert "gone.ckpt: no such file or folder" in refused(tmp_path / "gone.ckpt", lora_alpha=8)


def test_a_checksum_at_the_end_of_a_checkpoint(tmp_path):
    import mindspore as ms

    content = [{"name": name, "data": ms.Tensor(value)} for name, value in pet().items()]
    ms.save_checkpoint(content, str(tmp_path / "net.ckpt"), crc_check=True)
    assert b"crc_num" in (tmp_path / "net.ckpt").read_bytes()
    assert read_adapter(tmp_path / "net.ckpt", CONFIG, lora_alpha=8).pairs


def test_names_of_several_lines(tmp_path):
    assert "this is no tensor's name" in refused(tmp_path / "a", pet() | {f"{WQ}c\nd": ones(1)})
    path = checkpoint(tmp_path / "net.ckpt", pet() | {f"{WQ}c\nd": ones(1)})
    assert "this is no tensor's name" in refused(path, lora_alpha=8)


def test_a_failed_conversion_leaves_nothing(tmp_path):
    save_file(pet() | {f"{WQ}b": ones(32, 4) * np.nan}, tmp_path / "net.safetensors")
    with pytest.raises(AdapterError, match="NaN"):
        convert_adapter(tmp_path / "net.safetensors", tmp_path / "new", CONFIG, "peft", lora_alpha=8)
    assert [item.name for item in tmp_path.iterdir()] == ["net.safetensors"]


@settings(deadline=None, max_examples=150)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), min_size=1, max_size=3))
def test_checkpoints_with_wrong_bytes_are_read_or_refused(tmp_path_factory, changes):
    path = checkpoint(tmp_path_factory.mktemp("bytes") / "net.ckpt", {f"{WQ}a": ones(1, 32), f"{WQ}b": ones(32, 1)})
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.chmod(0o644)
    path.write_bytes(content)
    try:
        adapter = read_adapter(path, CONFIG, lora_alpha=8)
    except AdapterError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert all(np.isfinite(pair.b).all() for pair in adapter.pairs.values())
