"""Which file of a folder is meant."""

import pytest

from mindcold.errors import JobError
from mindcold.modelarts import folders


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_training_and_held_out_files(tmp_path):
    folder = touch(tmp_path, "train.jsonl", "dev.jsonl", "other.jsonl")
    assert folders.training_file(folder) == folder / "train.jsonl"
    assert folders.held_out_file(folder) == folder / "dev.jsonl"
    assert folders.training_file(folder / "other.jsonl") == folder / "other.jsonl"
    assert folders.held_out_file(folder / "other.jsonl") is None


def test_the_only_file_that_is_not_held_out(tmp_path):
    folder = touch(tmp_path, "pairs.txt", "validation.txt", "notes.md")
    assert folders.training_file(folder) == folder / "pairs.txt"
    touch(folder, "more.jsonl")
    with pytest.raises(JobError, match=r"found more\.jsonl, pairs\.txt; name the file"):
        folders.training_file(folder)
    with pytest.raises(JobError, match="found none"):
        folders.only_file(touch(tmp_path, "empty/notes.md") / "empty")


def test_a_model_may_be_one_folder_below(tmp_path):
    folder = touch(tmp_path, "base/config.json", "readme.txt")
    assert folders.model_folder(folder) == folder / "base"
    assert folders.model_folder(folder / "base") == folder / "base"
    touch(folder, "adapter/adapter_config.json")
    assert folders.model_folder(folder) == folder
