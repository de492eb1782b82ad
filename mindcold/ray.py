"""Batch inference on Ray Data: a callable class for `Dataset.map_batches`, and the lines of a job sent through it.

The class needs no Ray by itself; `answer_lines` does (`pip install 'mindcold[ray]'`). MindSpore is imported where a
model is loaded, not where this module is.
"""

import importlib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mindcold.batch.input_file import FORMATS, Line, parse_line
from mindcold.batch.setting import Setting
from mindcold.errors import BatchError, one_line

IN_FLIGHT = 2
"""Batches that are sent to a worker: one is decoded, and what waits behind it for a worker that died is little."""

_PROTOBUF = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}

RUNTIME_ENV = {"env_vars": _PROTOBUF | {"GLOG_v": "3"}}
"""What workers need: MindSpore refuses the protobuf that Ray, imported before it, loads without this."""


class BatchPredictor:
    """A worker of `Dataset.map_batches(BatchPredictor, fn_constructor_kwargs={...}, runtime_env=RUNTIME_ENV, ...)`.

    `concurrency=N` of them run at once, and each loads a model once. A batch several times as long as `max_batch` keeps
    the rows of the model full: those of one batch are decoded together, and the next begins when all of them are done.
    """

    def __init__(self, model: str, adapters: Mapping[str, str] | None = None, **options: Any):
        """`adapters` are PEFT folders by name; all folders must be where the worker runs.

        `options` are the fields of `mindcold.batch.setting.Setting` (method, options, chat, max_batch, dtype,
        backend), `created` (seconds since 1970, in all responses; now if not given), and `form`: "openai" for
        OpenAI batch lines, "text" for prompts. Raises the errors of `mindcold.load` and `LLM.add_adapter`.
        """
        self._form, created = options.pop("form", "openai"), options.pop("created", None)
        if self._form not in FORMATS[1:]:
            raise BatchError(f"form: {self._form!r} is not one of {', '.join(FORMATS[1:])}")
        try:
            from mindcold.batch.responder import Responder
        except TypeError as error:
            raise BatchError(
                f"MindSpore cannot be imported ({one_line(error, 60)}); "
                "give map_batches runtime_env=mindcold.ray.RUNTIME_ENV"
            ) from None
        self._responder = Responder(Setting(model, adapters or {}, **options), created)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Records of some lines, in their order.

        `batch` has "number", int64 [n], which begin at 1 and differ within a batch, and "line", [n] texts. The result
        has "number" and "record", [n] JSON texts: lines of `mindcold batch`'s output, error records among them.
        BatchError where columns are missing or a number is there twice.
        """
        from mindcold.batch.response import line_number

        if not {"number", "line"} <= set(batch):
            raise BatchError(f"batch: columns number and line are expected, found {', '.join(sorted(batch))}")
        numbers = [int(number) for number in batch["number"]]
        if len(set(numbers)) < len(numbers) or min(numbers, default=1) < 1:
            raise BatchError("batch: number: numbers from 1 that differ are expected")
        texts = zip(numbers, batch["line"], strict=True)
        lines = (parse_line(number, str(text).encode("utf-8", "surrogatepass"), self._form) for number, text in texts)
        found: dict[int | None, str] = {}
        for records in self._responder.answer(lines):
            found |= {line_number(record): json.dumps(record) for record in records}
        return {"number": np.array(numbers, np.int64), "record": np.array([found[n] for n in numbers], object)}


def answer_lines(
    lines: Iterable[Line],
    setting: Setting,
    form: str,
    created: int,
    *,
    workers: int,
    batch_size: int,
    cpus: float = 1,
) -> Iterator[list[dict[str, Any]]]:
    """Records of lines that can be read, a batch at a time as they are done, by workers on Ray.

    `form` is the input's. The lines are read to their end first and wait in Ray's object store. `cpus` is what Ray
    keeps for a worker. A worker that dies is started again, here or on another node, and its batches are decoded again,
    as Ray Data does by itself. BatchError where Ray is missing, a worker cannot start, or Ray gives up.
    """
    ray = require_ray()
    pyarrow = importlib.import_module("pyarrow")
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised as well
    waiting, blocks = iter(lines), []
    while batch := list(islice(waiting, batch_size)):
        texts = [line.value if form == "text" else json.dumps(line.value) for line in batch]
        blocks.append(ray.put(pyarrow.table({"number": [line.number for line in batch], "line": texts})))
    if not blocks:
        return
    records = ray.data.from_arrow_refs(blocks).map_batches(
        BatchPredictor,
        fn_constructor_kwargs=_everywhere(setting) | {"form": form, "created": created},
        compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=IN_FLIGHT),
        batch_size=None,  # a block each
        batch_format="numpy",
        num_cpus=cpus,
        runtime_env=RUNTIME_ENV,
    )
    try:
        for found in records.iter_batches(batch_size=None, batch_format="numpy"):
            yield [json.loads(text) for text in found["record"]]
    except ray.exceptions.RayError as error:
        raise BatchError(_cause(str(error))) from None


def require_ray() -> Any:
    """The module `ray`, with `ray.data`, so imported that MindSpore can be too; BatchError says how to install it."""
    for name, value in _PROTOBUF.items():
        os.environ.setdefault(name, value)
    try:
        importlib.import_module("ray.data")
    except ImportError:
        raise BatchError("ray: not installed; run: pip install 'mindcold[ray]'") from None
    return importlib.import_module("ray")


def _everywhere(setting: Setting) -> dict[str, Any]:
    """A setting as arguments that do not depend on the working folder."""
    names = [setting.model, *setting.adapters.values()]
    model, *adapters = [str(Path(name).absolute()) if Path(name).exists() else str(name) for name in names]
    changed = replace(
        setting, model=model, name=setting.model, adapters=dict(zip(setting.adapters, adapters, strict=True))
    )
    return asdict(changed)


def _cause(text: str) -> str:
    """Our own error within the text of one of Ray's, else the last line of that."""
    own = re.findall(r"^\s*mindcold\.errors\.\w+: (.+)", text, re.MULTILINE)
    if own:
        return own[-1]
    last = one_line((text.strip().splitlines() or ["failed"])[-1])
    return f"ray: {last}; what was written before is safe, run the same command again"
