"""`mindcold train`: a model from text, or a LoRA adapter from prompts and completions."""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mindcold.config import ModelConfig, parse_config
from mindcold.errors import TrainingError
from mindcold.fields import read_json
from mindcold.files import write_json
from mindcold.tokenizer import Tokenizer

RUN, SETTINGS = "run", "settings.json"
TOKENIZER_FILES = (
    *("tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    "chat_template.jinja",
)
# what has to be the same for a run to go on as if it had not stopped
_IDENTITY = (
    *("model", "config", "data", "lora_rank", "lora_alpha", "target_modules", "steps", "batch_size"),
    *("sequence_length", "learning_rate", "warmup_steps", "weight_decay", "seed"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--model", help="HuggingFace model folder to start from, or a name from the model zoo")
    start.add_argument("--config", type=Path, help="config.json of a new model; needs --tokenizer")
    parser.add_argument("--tokenizer", type=Path, help="folder with the tokenizer (default: that of --model)")
    parser.add_argument("--data", type=Path, required=True, help=".txt, a document per line, or .jsonl of examples")
    parser.add_argument("--output", type=Path, required=True, help="folder of the result; the run is kept in its run/")
    parser.add_argument("--lora-rank", type=int, help="train an adapter of this rank instead of the whole model")
    parser.add_argument("--lora-alpha", type=float, help="default: twice the rank")
    parser.add_argument("--target-modules", default="q_proj,v_proj", help="layers of the adapter, comma-separated")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=16, help="rows per step")
    parser.add_argument("--sequence-length", type=int, default=128, help="tokens per row")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak of the schedule")
    parser.add_argument("--warmup-steps", type=int, help="default: a tenth of the steps, at most 100")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--save-every", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the data order")
    parser.add_argument("--resume", action="store_true", help="go on with a stopped run")


def run(args: argparse.Namespace) -> int:
    """Train and write a model folder, or an adapter folder with --lora-rank.

    Everything is checked before the first file is written. Raises TrainingError or ModelError in one line.
    """
    from mindcold.training.data import TrainingSet, read_data
    from mindcold.training.export import export_adapter, export_model
    from mindcold.training.model import LoraSettings, TrainingLM, initial_weights
    from mindcold.training.trainer import CHECKPOINT, Trainer, TrainingSettings

    for name in ("batch_size", "sequence_length"):
        if getattr(args, name) < 1:
            raise TrainingError(f"{name}: a positive integer is expected, found {getattr(args, name)}")
    if args.seed < 0:
        raise TrainingError(f"seed: an integer >= 0 is expected, found {args.seed}")
    warmup = args.warmup_steps if args.warmup_steps is not None else min(100, args.steps // 10)
    settings = TrainingSettings(
        args.steps, args.learning_rate, warmup, weight_decay=args.weight_decay, save_every=args.save_every
    )
    folder, config = _start(args)
    lora = _lora(args, LoraSettings)
    if args.sequence_length > config.max_position_embeddings:
        limit = config.max_position_embeddings
        raise TrainingError(f"sequence_length: {args.sequence_length} is above max_position_embeddings {limit}")
    home = args.tokenizer or folder
    if home is None:
        raise TrainingError("--tokenizer: a folder is needed with --config; the text must become token ids")
    if not config.eos_token_ids:
        raise TrainingError(f"{args.model or args.config}: eos_token_id: missing; training marks the end of each text")
    tokens, labels = read_data(args.data, Tokenizer(home), config.eos_token_ids[0], args.sequence_length)
    if tokens.size and max(tokens.max(), labels.max()) >= config.vocab_size:
        raise TrainingError(f"{home}: gives token ids beyond vocab_size {config.vocab_size}; use its own tokenizer")
    data = TrainingSet(tokens, labels, args.batch_size, args.steps, args.seed)
    work, identity = args.output / RUN, {name: _plain(getattr(args, name)) for name in _IDENTITY}
    _check_folder(args, work / CHECKPOINT, work / SETTINGS, identity, folder)

    weights = initial_weights(config, args.seed) if folder is None else _weights(folder, config)
    network = TrainingLM(config, args.batch_size, args.sequence_length, weights, lora, data.counted)
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / SETTINGS, identity)
    losses = Trainer(network, data, settings, work).train(args.resume)
    if lora is not None:
        export_adapter(network, config, lora, str(args.model), args.output)
    else:
        export_model(network, config, args.output)
        for name in TOKENIZER_FILES:
            if (Path(home) / name).is_file():
                shutil.copyfile(Path(home) / name, args.output / name)
    print(f"{args.output}: {len(losses)} steps, loss {losses[0]:.3f} -> {losses[-1]:.3f}", file=sys.stderr)
    return 0


def _start(args: argparse.Namespace) -> tuple[Path | None, ModelConfig]:
    """The folder to start from (None for a new model) and the configuration of what is trained."""
    if args.model is None:
        return None, _writable(parse_config(read_json(args.config), str(args.config)))
    from mindcold.model_folder import find_folder

    folder = find_folder(args.model)
    return folder, _writable(ModelConfig.from_folder(folder))


def _writable(config: ModelConfig) -> ModelConfig:
    """Trained weights are written in float32 unless the model is in bfloat16."""
    return config if config.dtype == "bfloat16" else replace(config, dtype="float32")


def _lora(args: argparse.Namespace, make: Any) -> Any:
    """Adapter settings, or None to train the whole model."""
    if args.lora_rank is None:
        return None
    if args.model is None:
        raise TrainingError("--lora-rank: an adapter is trained on top of --model, not of --config")
    alpha = args.lora_alpha if args.lora_alpha is not None else 2.0 * args.lora_rank
    targets = tuple(part.strip() for part in args.target_modules.split(",") if part.strip())
    return make(args.lora_rank, alpha, targets, args.seed)


def _weights(folder: Path, config: ModelConfig) -> dict[str, Any]:
    from mindcold.checkpoint import Checkpoint
    from mindcold.model.shapes import weight_shapes

    checkpoint = Checkpoint(folder, config)
    return {name: checkpoint.tensor(name, shape) for name, shape in weight_shapes(config).items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _check_folder(
    args: argparse.Namespace, checkpoint: Path, settings: Path, identity: dict[str, Any], base: Path | None
) -> None:
    """Refuse to overwrite the model that is the start or an earlier run, and to resume a run of other settings."""
    if args.output.exists() and not args.output.is_dir():
        raise TrainingError(f"{args.output}: is a file; --output names a folder")
    if base is not None and args.output.resolve() == base.resolve():
        raise TrainingError(f"{args.output}: --output is the model itself; choose another folder")
    if not args.resume:
        if checkpoint.exists():
            raise TrainingError(f"{checkpoint}: a run is here already; add --resume or choose another --output")
        return
    if not checkpoint.is_file():
        raise TrainingError(f"{checkpoint}: no such file; nothing to resume")
    before = read_json(settings, TrainingError)
    for name, value in identity.items():
        if before.get(name) != value:
            raise TrainingError(
                f"{settings}: {name}: the run had {before.get(name)!r}, now {value!r}; keep it to resume"
            )
