"""The parameters of a ModelArts job as the flags of a command."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mindcold.errors import JobError

NAMES = {
    "train": {
        "data": ("data_url", "data_path", "train_dataset_dir"),
        "output": ("train_url", "output_url", "output_dir"),
        "model": ("model_url", "pretrained_model_dir", "load_checkpoint"),
        "held-out": ("eval_data_url", "eval_dataset_dir"),
    },
    "batch": {
        "input": ("data_url", "data_path", "predict_data"),
        "output": ("train_url", "output_url", "output_dir"),
        "model": ("model_url", "pretrained_model_dir", "load_checkpoint"),
        "adapter": ("adapter_url",),
    },
}
"""Command to flag to the names a job's parameters commonly have, besides the flag's own."""

PARAMETER = "parameter"
"""`--parameter data=NAME`: the parameter that this job calls NAME is the flag --data."""

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")


@dataclass(slots=True)
class Arguments:
    """Flags of a command, without dashes, and their values; None for a flag that has none."""

    values: dict[str, list[str | None]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    """Flags that a job's own parameter name stood for: their values are folders."""
    warnings: list[str] = field(default_factory=list)
    """About parameters that nothing is made of."""

    def command_line(self) -> list[str]:
        """The arguments of the command."""
        pairs = ((flag, value) for flag, values in self.values.items() for value in values)
        return [f"--{flag}" if value is None else f"--{flag}={value}" for flag, value in pairs]


def read(
    command: str, parser: argparse.ArgumentParser, argv: Sequence[str], environment: Mapping[str, str]
) -> Arguments:
    """The arguments of a job.

    Underscores count as dashes. A folder that is not among the arguments is looked for in the environment, under the
    same names: ModelArts delivers inputs and outputs either way. A flag without a value takes true or false. Raises
    JobError for addresses that ModelArts has not made a local path of.
    """
    known = {name[2:]: action for name, action in parser._option_string_actions.items() if name.startswith("--")}
    pairs = _pairs(argv)
    aliases = {alias: flag for flag, names in NAMES[command].items() for alias in names}
    for name, value in pairs:
        if name == PARAMETER:
            flag, equals, own = (value or "").partition("=")
            if not equals or flag not in known:
                raise JobError(f"--parameter: {value!r}: FLAG=NAME is expected, such as data=my_input")
            aliases[own] = flag
    found = Arguments()
    for name, value in pairs:
        flag = aliases.get(name, name.replace("_", "-"))
        if name == PARAMETER:
            continue
        if flag not in known:
            found.warnings.append(f"--{name}: not a parameter of `mindcold {command}`; left out")
        elif value == "":
            found.warnings.append(f"--{name}: empty; left out")
        elif (kept := _value(name, value, known[flag])) != "":
            found.values.setdefault(flag, []).append(kept)
            found.folders |= {flag} if name in aliases else set()
    for name, flag in aliases.items():
        if flag not in found.values and environment.get(name):
            found.values[flag] = [_value(name, environment[name], known[flag])]
            found.folders.add(flag)
    return found


def _pairs(argv: Sequence[str]) -> list[tuple[str, str | None]]:
    """Names without dashes and values of `--name=value`, `--name value` and `--name`."""
    found: list[tuple[str, str | None]] = []
    for item in argv:
        if item.startswith("--"):
            name, equals, value = item[2:].partition("=")
            found.append((name, value if equals else None))
        elif found and found[-1][1] is None:
            found[-1] = (found[-1][0], item)
        else:
            found.append((item, None))
    return found


def _value(name: str, value: str | None, action: argparse.Action) -> str | None:
    """What the flag is given; None for one that is just set, "" for one that is not."""
    if value is not None and value.startswith(("obs://", "s3://")):
        raise JobError(f"--{name}: {value}: make it an input or output of the job, which gives a local path instead")
    wanted = (value or "true").strip().lower()
    if action.nargs == "?" and wanted in (*_YES, *_NO):
        return None if wanted in _YES else ""
    if action.nargs != 0:
        return value
    if wanted not in (*_YES, *_NO):
        raise JobError(f"--{name}: true or false is expected, found {value!r}")
    return None if wanted in _YES else ""
