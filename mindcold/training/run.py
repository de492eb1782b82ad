"""A run as the command line describes it: checked, trained, exported."""

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mindcold import values
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig, parse_config
from mindcold.errors import TrainingError, shown
from mindcold.fields import read_json
from mindcold.files import atomic, check_folder, obstacle, reason, write_json
from mindcold.jobs.fingerprint import fingerprint
from mindcold.jobs.rank import Rank
from mindcold.model.shapes import weight_shapes
from mindcold.ops import frozen_matmul
from mindcold.tokenizer import Tokenizer
from mindcold.training import checkpoint, curves, output
from mindcold.training.data import TrainingSet
from mindcold.training.draft_start import draft_config, draft_weights
from mindcold.training.export import export_adapter, export_model
from mindcold.training.lora import LoraSettings
from mindcold.training.model import TrainingLM, initial_weights
from mindcold.training.reading import TextEncoder, is_examples, read_rows
from mindcold.training.rows import Row
from mindcold.training.settings import TrainingSettings
from mindcold.training.trainer import Outcome, Trainer

# flags that have to be the same for a run to go on as if it had not stopped; files are compared by content
_IDENTITY = (
    *("lora_rank", "lora_alpha", "target_modules", "lora_dropout", "use_rslora", "rank_pattern", "alpha_pattern"),
    "modules_to_save",
    *("steps", "epochs", "batch_size", "accumulation", "sequence_length", "pack", "one_length", "learning_rate"),
    *("schedule", "warmup_steps", "weight_decay", "clip_norm", "seed", "evaluate_every", "patience"),
)


class TrainingRun:
    """Reads and checks all that a run needs, without writing; `execute` then trains. TrainingError in one line."""

    def __init__(self, args: argparse.Namespace, rank: Rank):
        self._args, self._rank = args, rank
        for name, low, high in (
            ("batch_size", 1, 1 << 20),
            ("sequence_length", 1, 1 << 24),
            ("accumulation", 1, 1 << 16),
            ("seed", 0, values.LARGEST),
        ):
            if not low <= getattr(args, name) <= high:
                raise TrainingError(
                    f"{name}: an integer from {low} to {high} is expected, found {shown(getattr(args, name))}"
                )
        for path in (args.data, args.held_out):
            if path and (found := obstacle(path)):  # it is read more than once
                raise TrainingError(f"{path}: {found}")
        self._folder, self._config = self._start()
        output.check_place(args.output, self._folder)
        self._lora = self._adapter()
        if self._lora is not None:
            self._lora.modules(self._config)
        limit = self._config.max_position_embeddings
        if args.sequence_length > limit:
            raise TrainingError(f"sequence_length: {args.sequence_length} is above max_position_embeddings {limit}")
        home = args.tokenizer or self._folder
        if home is None:
            raise TrainingError("--tokenizer: a folder is needed with --config; the text must become token ids")
        self._home = Path(home)
        encoder = self._encoder()
        data, held_out = args.data, args.held_out
        rows = self._rows(data, encoder)
        self._data = TrainingSet(
            *(rows, args.sequence_length, args.batch_size, args.seed, args.accumulation, rank, not args.one_length)
        )
        self._held_out = None
        if held_out is not None:
            rows = self._rows(held_out, encoder)
            batch = min(args.batch_size, len(rows))
            self._held_out = TrainingSet(rows, args.sequence_length, batch, args.seed)
        self._settings = self._training_settings()
        self._dtype = self._base_dtype()
        self._work = args.output / output.RUN
        self._curves = self._curves_folder()
        self._identity = self._describe()
        self._check_output()

    def execute(self, stopped: Callable[[], bool]) -> Outcome:
        """Train to the end, or until `stopped` says so, and export what was asked for."""
        args, config = self._args, self._config
        network = TrainingLM(config, self._weights(), self._lora, self._dtype)
        try:
            self._work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(f"{self._work}: {reason(error)}") from None
        trainer = Trainer(
            *(network, self._data, self._settings, self._work, self._held_out, self._rank, stopped, self._curves)
        )
        if self._rank.number == 0:
            if args.restart:
                trainer.forget()
            write_json(self._work / output.SETTINGS, self._identity)
        outcome = trainer.train()
        if outcome.ended and self._rank.number == 0:
            if outcome.best_step is not None:
                trainer.use_best()
            self._export(network)
        return outcome

    def _export(self, network: TrainingLM) -> None:
        args = self._args
        if self._lora is not None:
            export_adapter(network, self._config, str(args.model), args.output)
            return
        export_model(network, self._config, args.output)
        for name in output.TOKENIZER_FILES:
            if (self._home / name).is_file():
                with atomic(args.output / name) as partial:
                    shutil.copyfile(self._home / name, partial)

    def _weights(self) -> Mapping[str, np.ndarray]:
        """What training starts from."""
        if self._folder is None:
            return initial_weights(self._config, self._args.seed)
        if self._args.draft_of is None:
            return StoredWeights(self._folder, self._config)
        target = Checkpoint(self._folder, ModelConfig.from_folder(self._folder))
        return draft_weights(self._config, target, self._args.seed)

    def _start(self) -> tuple[Path | None, ModelConfig]:
        """The folder to start from (None for a new model) and the configuration of what is trained."""
        args = self._args
        if args.model is None and args.draft_of is None:
            return None, _writable(parse_config(read_json(args.config), str(args.config)))
        from mindcold.model_folder import find_folder

        folder = find_folder(args.model or args.draft_of)
        config = _writable(ModelConfig.from_folder(folder))
        if args.draft_of is not None:
            config = draft_config(config, args.draft_hidden_size, args.draft_layers)
        return folder, config

    def _adapter(self) -> LoraSettings | None:
        """Adapter settings, or None to train the whole model."""
        args = self._args
        if args.lora_rank is None:
            return None
        if args.model is None:
            raise TrainingError("--lora-rank: an adapter is trained on top of --model, not of a new model")
        alpha = args.lora_alpha if args.lora_alpha is not None else 2.0 * args.lora_rank
        patterns = (_pattern(args.rank_pattern, "rank_pattern"), _pattern(args.alpha_pattern, "alpha_pattern"))
        return LoraSettings(
            *(args.lora_rank, alpha, targets_of(args.target_modules), args.seed, args.lora_dropout, args.use_rslora),
            *patterns,
            _names(args.modules_to_save or ""),
        )

    def _base_dtype(self) -> str:
        """How the matrices of a base that is not trained are kept."""
        asked = self._args.dtype
        if self._lora is None:
            if asked == "bfloat16":
                raise TrainingError("--dtype: bfloat16 is for the base below an adapter; give --lora-rank too")
            return "float32"
        if asked != "auto":
            return asked
        fast = frozen_matmul.available()["aot"] is None
        return "bfloat16" if fast and self._config.dtype == "bfloat16" else "float32"

    def _curves_folder(self) -> Path | None:
        """Where TensorBoard finds the losses."""
        asked = self._args.tensorboard
        if asked is None:
            return None
        curves.require_tensorboardx()
        found = values.path("--tensorboard", asked, TrainingError) if asked else self._work / curves.FOLDER
        check_folder(found, TrainingError)
        return found

    def _encoder(self) -> TextEncoder:
        eos = self._config.eos_token_ids
        if not eos:
            where = self._folder or self._args.config
            raise TrainingError(f"{where}: eos_token_id: missing; training marks the end of each text")
        return TextEncoder(Tokenizer(self._home), eos[0], self._config.bos_token_id)

    def _rows(self, path: Path, encoder: TextEncoder) -> list[Row]:
        """The rows of a file, whose token ids are those of the model."""
        rows = read_rows(path, encoder, self._args.sequence_length, self._args.pack)
        if not rows:
            raise TrainingError(f"{path}: less text than one row of {self._args.sequence_length} tokens; give more")
        size = self._config.vocab_size
        if max(int(max(row.tokens.max(), row.labels.max())) for row in rows) >= size:
            raise TrainingError(f"{self._home}: gives token ids beyond vocab_size {size}; use its own tokenizer")
        if max((int(row.taught.tokens.max()) for row in rows if row.taught), default=0) >= size:
            raise TrainingError(f"{path}: top_logprobs: token ids beyond vocab_size {size} are another model's")
        return rows

    def _training_settings(self) -> TrainingSettings:
        args = self._args
        if args.epochs is not None and not 0 < args.epochs <= 1e6:
            raise TrainingError(f"epochs: a positive number is expected, found {args.epochs}")
        steps = self._data.steps(args.epochs) if args.epochs is not None else args.steps
        steps = 1000 if steps is None else steps
        warmup = args.warmup_steps if args.warmup_steps is not None else min(100, steps // 10)
        return TrainingSettings(
            steps,
            args.learning_rate,
            warmup,
            args.schedule,
            weight_decay=args.weight_decay,
            clip_norm=args.clip_norm,
            save_every=args.save_every,
            evaluate_every=args.save_every if args.evaluate_every is None else args.evaluate_every,
            patience=args.patience,
        )

    def _describe(self) -> dict[str, Any]:
        """What has to be the same for the run to go on."""
        args = self._args
        found = {name: getattr(args, name) for name in _IDENTITY}
        found["evaluate_every"] = self._settings.evaluate_every if args.held_out else None
        found["model"] = output.content_of(args.config) if self._folder is None else fingerprint(self._folder)
        found["tokenizer"] = output.tokenizer_of(self._home) if args.tokenizer else None
        for name, path in (("data", args.data), ("held_out", args.held_out)):
            kind = "" if path and is_examples(path) else "documents: "
            found[name] = output.content_of(path, kind) if path else None
        if args.draft_of is not None:
            found["draft"] = [args.draft_hidden_size, args.draft_layers]
        found["processes"], found["dtype"] = self._rank.size, self._dtype
        return json.loads(json.dumps(found))

    def _check_output(self) -> None:
        """Refuse to overwrite what no run in the folder has written, and to go on with a run of other settings."""
        args = self._args
        if not args.overwrite:
            output.check_content(args.output)
        if args.restart:
            if self._rank.size > 1:
                raise TrainingError(f"--restart: not under several processes; remove {self._work} first")
            return
        if output.has_run(args.output):
            output.check_same(args.output, self._identity)
        if args.resume and not (self._work / checkpoint.LAST).is_file():
            raise TrainingError(f"{self._work / checkpoint.LAST}: no such file; nothing to resume")


def targets_of(text: str) -> tuple[str, ...] | str:
    """Names of a comma-separated list, else the text: a regular expression or "all-linear"."""
    if text.lower() == "all-linear" or not text.replace("_", "").replace(",", "").replace(" ", "").isalnum():
        return text
    return _names(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pattern(text: str | None, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TrainingError(f"{name}: a JSON object is expected, found {str(text)[:60]!r}")
    return found


def _writable(config: ModelConfig) -> ModelConfig:
    """Trained weights are written in float32 unless the model is in bfloat16."""
    return config if config.dtype == "bfloat16" else replace(config, dtype="float32")


class StoredWeights(Mapping[str, np.ndarray]):
    """The weights of a model folder, float32, read when they are asked for."""

    def __init__(self, folder: Path, config: ModelConfig):
        self._checkpoint, self._shapes = Checkpoint(folder, config), weight_shapes(config)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._checkpoint.tensor(name, self._shapes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)
