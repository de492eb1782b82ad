"""A job's parameters as flags."""

import argparse

import pytest

from mindcold.cli import batch
from mindcold.errors import JobError
from mindcold.modelarts import arguments
from mindcold.training import cli as train


def read(argv, command="train", environment=None):
    parser = argparse.ArgumentParser()
    {"train": train, "batch": batch}[command].add_arguments(parser)
    return arguments.read(command, parser, argv, environment or {})


def line(argv, *rest):
    return read(argv, *rest).command_line()


def test_the_names_of_modelarts_and_ones_own():
    argv = ["--data_url=/in/data", "--train_url", "/out", "--pretrained_model_dir=/in/model", "--learning_rate=0.1"]
    assert line(argv) == ["--data=/in/data", "--output=/out", "--model=/in/model", "--learning-rate=0.1"]
    assert line(["--data=/d", "--held-out=/h"]) == ["--data=/d", "--held-out=/h"]
    assert read(argv).folders == {"data", "output", "model"}
    assert line(["--data_url=/in", "--output_dir=/out", "--adapter_url=/a"], "batch") == [
        "--input=/in",
        "--output=/out",
        "--adapter=/a",
    ]


def test_whatever_the_job_calls_them():
    argv = ["--my_corpus=/in", "--parameter=data=my_corpus", "--parameter", "output=result", "--result=/out"]
    assert line(argv) == ["--data=/in", "--output=/out"]
    with pytest.raises(JobError, match="FLAG=NAME"):
        read(["--parameter=nothing=x"])


def test_folders_from_the_environment():
    environment = {"data_url": "/in", "train_url": "/out", "my_model": "/m", "output": "/not/this", "data": "/nor"}
    assert line(["--parameter=model=my_model"], "train", environment) == ["--data=/in", "--output=/out", "--model=/m"]
    assert line(["--data_url=/mine"], "train", environment)[0] == "--data=/mine"


def test_what_is_not_known_is_told_and_left_out():
    found = read(["--data_url=/in", "--num_gpus=8", "stray", "--init_method=tcp://x", "--tokenizer="])
    assert found.command_line() == ["--data=/in"]
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "--num_gpus",
        "--stray",
        "--init_method",
        "--tokenizer",
    ]


def test_flags_without_a_value_take_true_or_false():
    assert line(["--pack=True", "--use_rslora=false", "--one_length"]) == ["--pack", "--one-length"]
    assert line(["--tensorboard=true"]) == line(["--tensorboard"]) == ["--tensorboard"]
    assert line(["--tensorboard=false"]) == [] and line(["--tensorboard=/out"]) == ["--tensorboard=/out"]
    with pytest.raises(JobError, match="--pack: true or false"):
        read(["--pack=maybe"])


def test_an_address_is_refused():
    with pytest.raises(JobError, match="make it an input"):
        read(["--data_url=obs://bucket/data"])
    with pytest.raises(JobError, match="make it an input"):
        read([], "train", {"train_url": "s3://bucket/out"})
