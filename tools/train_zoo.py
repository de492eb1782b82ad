"""Make the shipped models from seeds: tokenizer, base, adapter; each stage can be run by itself.

    python tools/train_zoo.py tokenizer base adapter picture

Runs are kept under --work (default build/zoo); a stopped stage goes on with --resume.
"""

import argparse
import io
import sys
from itertools import islice
from pathlib import Path

from mindcold.config import ModelConfig, parse_config
from mindcold.errors import MindcoldError
from mindcold.model_zoo.corpus import mixture, problems
from mindcold.tokenizer import Tokenizer
from mindcold.training.export import export_adapter, export_model, write_json

ZOO = Path(__file__).resolve().parent.parent / "model_zoo"
BASE, ADAPTER = ZOO / "tiny-base", ZOO / "tiny-steps"
VOCABULARY = 2048
LENGTH = 96
CONFIG = {
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "dtype": "bfloat16",
}


def make_tokenizer() -> None:
    """Train the sentencepiece vocabulary on the corpus (BPE, bytes as fallback, digits one by one)."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=islice(mixture.documents(1), 40_000),
        model_writer=model,
        vocab_size=VOCABULARY,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    BASE.mkdir(parents=True, exist_ok=True)
    (BASE / "tokenizer.model").write_bytes(model.getvalue())
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    write_json(BASE / "special_tokens_map.json", special)
    settings = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "legacy": False}
    settings["model_max_length"] = CONFIG["max_position_embeddings"]
    write_json(BASE / "tokenizer_config.json", settings | special)


def train_base(args: argparse.Namespace) -> None:
    """Train the base on the mixture of drills, sloppily answered problems and plain text."""
    from mindcold.training.data import TrainingSet, pack
    from mindcold.training.model import TrainingLM, initial_weights
    from mindcold.training.trainer import Trainer, TrainingSettings

    config, tokenizer = parse_config(CONFIG, "tools/train_zoo.py"), Tokenizer(BASE)
    documents = islice(mixture.documents(args.seed), args.documents)
    tokens, labels = pack(([*tokenizer.encode(text), 2] for text in documents), LENGTH)
    steps = args.base_steps or len(tokens) // args.batch
    print(f"base: {tokens.size} tokens in {len(tokens)} rows, {steps} steps of {args.batch} rows", file=sys.stderr)
    network = TrainingLM(config, args.batch, LENGTH, initial_weights(config, args.seed))
    settings = TrainingSettings(steps, learning_rate=1.5e-3, warmup_steps=min(100, steps), save_every=100)
    data = TrainingSet(tokens, labels, args.batch, steps, args.seed)
    Trainer(network, data, settings, args.work / "base").train(args.resume)
    export_model(network, config, BASE)


def train_adapter(args: argparse.Namespace) -> None:
    """Train the adapter on right step-by-step solutions; the base stays as it is."""
    from mindcold.checkpoint import Checkpoint
    from mindcold.model.weights import weight_shapes
    from mindcold.training.data import Example, TrainingSet, pad
    from mindcold.training.model import LoraSettings, TrainingLM
    from mindcold.training.trainer import Trainer, TrainingSettings

    config, tokenizer = ModelConfig.from_folder(BASE), Tokenizer(BASE)
    checkpoint = Checkpoint(BASE, config)
    weights = {name: checkpoint.tensor(name, shape) for name, shape in weight_shapes(config).items()}
    lora = LoraSettings(args.rank, 2.0 * args.rank, tuple(args.targets.split(",")), args.seed)
    batch = 16
    items = problems.training(args.seed, args.adapter_steps * batch)
    tokens, labels = pad((Example(i.prompt, problems.solution(i)) for i in items), tokenizer, 2, LENGTH)
    network = TrainingLM(config, batch, LENGTH, weights, lora)
    settings = TrainingSettings(
        args.adapter_steps, args.adapter_rate, warmup_steps=min(20, args.adapter_steps), save_every=100
    )
    data = TrainingSet(tokens, labels, batch, args.adapter_steps, args.seed)
    Trainer(network, data, settings, args.work / args.adapter.name).train(args.resume)
    export_adapter(network, lora, BASE.name, args.adapter)


def draw_pictures(args: argparse.Namespace) -> None:
    """Loss curve of each run, as loss.png beside the model and its loss.csv."""
    import csv
    import shutil

    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    for run, folder in ((args.work / "base", BASE), (args.work / args.adapter.name, args.adapter)):
        log = run / "loss.csv"
        if not log.is_file():
            continue
        with log.open(encoding="utf-8") as file:
            losses = np.array([float(row["loss"]) for row in csv.DictReader(file)])
        width = max(1, len(losses) // 50)
        smooth = np.convolve(losses, np.ones(width) / width, "valid")
        figure, axes = pyplot.subplots(figsize=(6, 3.2), dpi=110, layout="constrained")
        axes.plot(np.arange(1, len(losses) + 1), losses, color="0.8", linewidth=0.8, label="each step")
        axes.plot(np.arange(width, len(losses) + 1), smooth, color="C0", label=f"mean of {width} steps")
        axes.set(xlabel="step", ylabel="loss (nats per token)", title=folder.name)
        axes.legend()
        figure.savefig(folder / "loss.png")
        pyplot.close(figure)
        shutil.copyfile(log, folder / "loss.csv")


def main() -> int:
    """Run the stages named on the command line, in order."""
    stages = {"tokenizer": None, "base": train_base, "adapter": train_adapter, "picture": draw_pictures}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=list(stages))
    parser.add_argument("--work", type=Path, default=Path("build/zoo"), help="folder of the runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--documents", type=int, default=170_000, help="documents of the base corpus")
    parser.add_argument("--batch", type=int, default=32, help="rows of 96 tokens per base step")
    parser.add_argument("--base-steps", type=int, help="default: one pass over the documents")
    parser.add_argument("--adapter", type=Path, default=ADAPTER, help="folder of the adapter")
    parser.add_argument("--adapter-steps", type=int, default=300, help="steps of 16 problems")
    parser.add_argument("--adapter-rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--targets", default="q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj")
    parser.add_argument("--resume", action="store_true", help="go on with a stopped run")
    args = parser.parse_args()
    try:
        for stage in args.stages:
            run = stages[stage]
            make_tokenizer() if run is None else run(args)
    except MindcoldError as error:
        print(f"train_zoo: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
