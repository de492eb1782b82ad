"""TensorBoard's event files of a run: what its losses are, once each, whatever the run went through."""

import json
import struct
import sys

import pytest

from mindcold.errors import TrainingError
from mindcold.training.curves import Curves
from mindcold.training.data import TrainingSet
from mindcold.training.loss_log import LOG
from tests.training.conftest import LENGTH


def events(path):
    """Of one file: records of length, checksum, content and checksum."""
    from tensorboardX.crc32c import crc32c
    from tensorboardX.proto.event_pb2 import Event

    def masked(data):
        found = crc32c(data)
        return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF

    content = path.read_bytes()
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        body = content[12 : 12 + size]
        assert struct.unpack("<I", content[8:12])[0] == masked(content[:8])
        assert struct.unpack("<I", content[12 + size : 16 + size])[0] == masked(body)
        yield Event.FromString(body)
        content = content[16 + size :]


def curves(folder):
    """Tag to [(step, value)], as TensorBoard puts them together: a start takes back what is at its step or later."""
    from tensorboardX.proto.event_pb2 import SessionLog

    found = {}
    for path in sorted(folder.iterdir()):
        for event in events(path):
            if event.session_log.status == SessionLog.START:
                found = {tag: [item for item in items if item[0] < event.step] for tag, items in found.items()}
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def expected(run):
    """The same of the log."""
    tags = {"loss": "loss/train", "held_out_loss": "loss/held_out"}
    found = {}
    for line in (run / LOG).read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for name, value in record.items():
            if name != "step":
                found.setdefault(tags.get(name, name), []).append((record["step"], pytest.approx(value, rel=1e-6)))
    return found


def test_a_resumed_run_goes_on_in_the_same_curves(tmp_path, make_trainer, rows):
    def trainer():
        held_out = TrainingSet(rows[::5], LENGTH, 2, 0)
        return make_trainer(tmp_path / "run", held_out=held_out, curves=tmp_path / "curves")

    for until in (2, 5):
        trainer().train(until)
    assert [len(items) for items in curves(tmp_path / "curves").values()] == [5, 5, 5, 1]
    checkpoint = (tmp_path / "run" / "last.safetensors").read_bytes()
    trainer().train(8)
    (tmp_path / "run" / "last.safetensors").write_bytes(checkpoint)  # killed after step 8, the checkpoint is of step 5
    outcome = trainer().train()
    found = curves(tmp_path / "curves")
    assert found == expected(tmp_path / "run") and set(found) == {
        *("loss/train", "loss/held_out"),
        *("learning_rate", "gradient_norm"),
    }
    before = list((tmp_path / "curves").iterdir())
    assert trainer().train() == outcome and list((tmp_path / "curves").iterdir()) == before  # nothing to add
    again = trainer()
    again.forget()
    again.train(3)
    assert [step for step, _ in curves(tmp_path / "curves")["loss/train"]] == [1, 2, 3]


def test_asked_for_later_they_hold_the_whole_run(tmp_path, make_trainer):
    make_trainer(tmp_path / "run").train(7)
    make_trainer(tmp_path / "run", curves=tmp_path / "curves").train()
    assert curves(tmp_path / "curves") == expected(tmp_path / "run")


def test_what_is_missing_and_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match="without --tensorboard"):
        Curves(tmp_path / "file", [], 0)
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(TrainingError, match=r"pip install 'mindcold\[tensorboard\]'"):
        Curves(tmp_path / "curves", [], 0)
    assert not (tmp_path / "curves").exists()
