"""`mindcold train`: a model from text, or a LoRA adapter from examples."""

import argparse
import sys

from mindcold.cli import params
from mindcold.jobs.rank import Rank
from mindcold.training.schedule import SCHEDULES

TARGETS = "q_proj,v_proj"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--model", help="HuggingFace model folder to start from, or a name from the model zoo")
    start.add_argument("--draft-of", help="model that a new, small one of its vocabulary is to draft for")
    start.add_argument("--config", action=params.AsPath, help="config.json of a new model; needs --tokenizer")
    parser.add_argument(
        "--tokenizer", action=params.AsPath, help="folder with the tokenizer (default: that of --model)"
    )
    parser.add_argument(
        "--output", action=params.AsPath, required=True, help="folder of the result; the run is kept in its run/"
    )
    parser.add_argument("--restart", action="store_true", help="forget the run that is in --output")
    parser.add_argument(
        "--overwrite", action="store_true", help="let the result replace another model or adapter in --output"
    )

    draft = parser.add_argument_group("draft", "shape of what --draft-of trains; its embeddings begin as the model's")
    draft.add_argument("--draft-hidden-size", type=int, default=192, help="a multiple of the head's (default 192)")
    draft.add_argument("--draft-layers", type=int, default=4, help="default 4")

    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", action=params.AsPath, required=True, help=".txt, a document per line, or .jsonl of examples"
    )
    data.add_argument(
        "--held-out", action=params.AsPath, help="file of the same kind to evaluate on; its best weights are kept"
    )
    data.add_argument("--sequence-length", type=int, default=128, help="tokens per row at most (default 128)")
    data.add_argument("--pack", action="store_true", help="several examples in a row; attention stays within each")
    data.add_argument("--one-length", action="store_true", help="no shorter rows for short examples")

    lora = parser.add_argument_group("adapter", "under the names of peft.LoraConfig; without a rank all is trained")
    lora.add_argument("--lora-rank", type=int, help="train an adapter of this rank")
    lora.add_argument("--lora-alpha", type=float, help="default: twice the rank")
    lora.add_argument(
        "--target-modules",
        default=TARGETS,
        help=f'names, comma-separated, a regular expression for whole paths, or "all-linear" (default {TARGETS})',
    )
    lora.add_argument(
        "--modules-to-save",
        help="embed_tokens, lm_head or both, comma-separated: trained as a whole beside the updates",
    )
    lora.add_argument("--lora-dropout", type=float, default=0.0)
    lora.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of the base below an adapter (default auto: bfloat16 if it is stored so and the CPU multiplies it)",
    )
    lora.add_argument("--use-rslora", action="store_true", help="scale with alpha / sqrt(rank)")
    lora.add_argument("--rank-pattern", help='JSON: {"regular expression": rank}')
    lora.add_argument("--alpha-pattern", help='JSON: {"regular expression": alpha}')

    run = parser.add_argument_group("steps")
    length = run.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="updates (default 1000)")
    length.add_argument("--epochs", type=float, help="times through the data, instead of steps")
    run.add_argument("--batch-size", type=int, default=16, help="rows per batch (default 16)")
    run.add_argument("--accumulation", type=int, default=1, help="batches per step and process (default 1)")
    run.add_argument("--learning-rate", type=float, default=1e-3, help="peak of the schedule (default 1e-3)")
    run.add_argument("--schedule", choices=list(SCHEDULES), default="cosine", help="after the warm-up (default cosine)")
    run.add_argument("--warmup-steps", type=int, help="default: a tenth of the steps, at most 100")
    run.add_argument("--weight-decay", type=float, default=0.01)
    run.add_argument("--clip-norm", type=float, default=1.0, help="largest norm of the gradients (default 1)")
    run.add_argument("--save-every", type=int, default=200, help="steps between checkpoints (default 200)")
    run.add_argument("--evaluate-every", type=int, help="steps between evaluations (default: as --save-every)")
    run.add_argument("--patience", type=int, help="end after so many evaluations without a lower loss")
    run.add_argument("--seed", type=int, default=0, help="of the weights, the data order and the dropout")
    run.add_argument(
        "--tensorboard",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="write the losses for TensorBoard too (default folder: run/tensorboard in --output)",
    )
    run.add_argument("--resume", action="store_true", help="refuse to begin: a run has to be there to go on with")


def run(args: argparse.Namespace) -> int:
    """Train and write a model folder, or an adapter folder with --lora-rank; go on with a run that was stopped.

    Everything is checked before the first file is written. 75 where a signal stopped it: run the same command again.
    Raises TrainingError or ModelError in one line.
    """
    from mindcold.jobs.processes import connect
    from mindcold.jobs.stop import AGAIN, StopSignal
    from mindcold.training.run import TrainingRun

    rank = Rank.of_environment()
    connect(rank)
    if rank is None:
        return 0
    with StopSignal() as stop:
        outcome = TrainingRun(args, rank).execute(lambda: stop.received)
        if not outcome.ended:
            print(
                f"stopped by a signal after step {outcome.steps}; run the same command again, and it goes on",
                file=sys.stderr,
            )
            return AGAIN
    if rank.number == 0:
        best = "" if outcome.best_step is None else f"; the best of step {outcome.best_step}"
        losses = outcome.losses
        course = f", loss {losses[0]:.3f} -> {losses[-1]:.3f}" if losses else ""  # the log may have been removed
        print(f"{args.output}: {outcome.steps} steps{course}{best}", file=sys.stderr)
    return 0
