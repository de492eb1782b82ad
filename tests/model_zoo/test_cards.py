"""The commands on the cards are ones that the command line takes, and make what ships."""

import argparse
import importlib
import json
import re
import shlex

import pytest

from mindcold import model_zoo
from mindcold.cli import COMMANDS
from mindcold.training.run import targets_of

PAGES = sorted(model_zoo.path("tiny-base").parent.glob("**/*.md"))
FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text):
    """The commands of a page that begin with `mindcold`, as lists of arguments."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            parts = shlex.split(line.split(">")[0], comments=True)
            if parts[:1] == ["mindcold"]:
                yield parts[1:]


def parsed(arguments):
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS[arguments[0]][0]).add_arguments(parser)
    return parser.parse_args(arguments[1:])


def test_every_command_is_one():
    found = [arguments for page in PAGES for arguments in commands(page.read_text(encoding="utf-8"))]
    assert {arguments[0] for arguments in found} >= {"train", "evaluate", "tune"}
    for arguments in found:
        parsed(arguments)


@pytest.mark.parametrize("name", ["smollm2-arithmetic", "smollm2-commongen"])
def test_an_adapter_is_made_by_the_command_on_its_card(name):
    folder = model_zoo.path(name)
    (train,) = [item for item in commands((folder / "README.md").read_text(encoding="utf-8")) if item[0] == "train"]
    args, made = parsed(train), json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert (args.lora_rank, args.lora_alpha, args.lora_dropout) == (made["r"], made["lora_alpha"], made["lora_dropout"])
    assert sorted(targets_of(args.target_modules)) == sorted(made["target_modules"])
    assert args.model == "smollm2-135m" and args.output.name == name
    assert len((folder / "loss.csv").read_text(encoding="utf-8").splitlines()) == 1 + args.steps
