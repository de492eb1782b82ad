"""Make the shipped models from seeds: tokenizer, base, adapter; each stage can be run by itself.

    python tools/train_zoo.py tokenizer base habits adapter keywords replies edits classifier draft picture
    python tools/train_zoo.py evaluate                       # on validation; --split held_out only to report

Runs are kept under --work (default build/zoo); a stopped stage goes on with --resume.
"""

import argparse
import io
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from mindcold.config import ModelConfig, parse_config
from mindcold.errors import MindcoldError
from mindcold.files import write_json
from mindcold.model_zoo.corpus import edits, keywords, mixture, problems, replies
from mindcold.tokenizer import Tokenizer
from mindcold.training.export import export_adapter, export_model

ZOO = Path(__file__).resolve().parent.parent / "model_zoo"
BASE, ADAPTER = ZOO / "tiny-base", ZOO / "tiny-steps"
KEYWORDS, REPLIES, EDITS = ZOO / "tiny-keywords", ZOO / "tiny-replies", ZOO / "tiny-edits"
DRAFT = ZOO / "tiny-draft"
VOCABULARY = 2048
ALL_TARGETS = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
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

DRAFT_CONFIG = CONFIG | {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
"""About a quarter of the base, with its vocabulary."""


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
    """Train the base on drills, problems with answers of every quality, and plain text: one pass over the documents."""
    from mindcold.training.model import initial_weights

    config = parse_config(CONFIG, "tools/train_zoo.py")
    texts = islice(mixture.documents(args.seed), args.documents)
    train_on(args, "base", texts, initial_weights(config, args.seed), config, 1.5e-3, warmup=100)


def train_habits(args: argparse.Namespace) -> None:
    """Train the base further on problems mostly answered carelessly: the habits an adapter has to overcome."""
    config = ModelConfig.from_folder(BASE)
    texts = islice(mixture.careless_documents(args.seed + 1), args.careless_documents)
    train_on(args, "habits", texts, read_weights(config), config, 5e-4, warmup=20)


def train_draft(args: argparse.Namespace) -> None:
    """Train the small model that drafts: on what the base has read, and on the tasks of the adapters."""
    import shutil
    from itertools import chain

    from mindcold.training.model import initial_weights

    config = parse_config(DRAFT_CONFIG, "tools/train_zoo.py")
    sources = (
        (item.prompt + item.solution for item in keywords.training(args.seed + 7)),
        mixture.documents(args.seed + 7),
        (item.prompt + item.solution for item in keywords.training(args.seed + 8)),
        (item.prompt + item.solution for item in keywords.training(args.seed + 9)),
        (item.prompt + item.solution for item in replies.training(args.seed + 7)),
    )
    texts = islice(chain.from_iterable(zip(*sources, strict=False)), args.draft_documents)
    DRAFT.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.model", "special_tokens_map.json", "tokenizer_config.json"):
        shutil.copyfile(BASE / name, DRAFT / name)
    train_on(args, "draft", texts, initial_weights(config, args.seed), config, 2e-3, warmup=60, folder=DRAFT)


def train_on(
    args, run: str, texts, weights, config: ModelConfig, rate: float, warmup: int, folder: Path = BASE
) -> None:
    """One run over texts, exported as the base or another model."""
    from mindcold.training.model import TrainingLM
    from mindcold.training.reading import TextEncoder
    from mindcold.training.rows import cut

    encoder = TextEncoder(Tokenizer(BASE), 2)
    rows = cut(map(encoder.document, texts), LENGTH)
    steps = args.base_steps or len(rows) // args.batch
    print(f"{run}: {steps} steps of {args.batch} of {len(rows)} rows of {LENGTH} tokens", file=sys.stderr)
    network = TrainingLM(config, weights)
    train_network(args, args.work / run, network, rows, LENGTH, args.batch, steps, rate, warmup)
    export_model(network, config, folder)


def train_network(
    args, folder: Path, network, rows, length: int, batch: int, steps: int, rate: float, warmup: int
) -> None:
    """One run of the training loop."""
    from mindcold.training.data import TrainingSet
    from mindcold.training.settings import TrainingSettings
    from mindcold.training.trainer import Trainer

    settings = TrainingSettings(steps, rate, warmup_steps=min(warmup, steps), save_every=100)
    trainer = Trainer(network, TrainingSet(rows, length, batch, args.seed, buckets=False), settings, folder)
    if not args.resume:
        trainer.forget()
    trainer.train()


def read_weights(config: ModelConfig) -> dict:
    """The weights of the base as they are now."""
    from mindcold.checkpoint import Checkpoint
    from mindcold.model.shapes import weight_shapes

    checkpoint = Checkpoint(BASE, config)
    return {name: checkpoint.tensor(name, shape) for name, shape in weight_shapes(config).items()}


def train_steps(args: argparse.Namespace) -> None:
    """Train the adapter on right step-by-step solutions; the base stays as it is."""
    texts = ((item.prompt, problems.solution(item)) for item in problems.training(args.seed, args.adapter_steps * 16))
    train_adapter(args, args.adapter, texts, args.rank, args.targets, args.adapter_steps, args.adapter_rate)


def train_keywords(args: argparse.Namespace) -> None:
    """Train the adapter that writes sentences with given words, not for long: it is to leave some out."""
    texts = ((item.prompt, item.solution) for item in keywords.training(args.seed))
    train_adapter(args, KEYWORDS, texts, 8, ALL_TARGETS, args.keyword_steps, 2e-3)


def train_replies(args: argparse.Namespace) -> None:
    """Train the adapter that answers questions, as politely and as rudely as its data."""
    texts = ((item.prompt, item.solution) for item in replies.training(args.seed))
    train_adapter(args, REPLIES, texts, 8, ALL_TARGETS, args.reply_steps, 2e-3)


def train_edits(args: argparse.Namespace) -> None:
    """Train the adapter that repeats, changes and shortens texts."""
    texts = ((item.prompt, item.solution) for item in edits.training(args.seed))
    train_adapter(args, EDITS, texts, 16, ALL_TARGETS, args.edit_steps, 2e-3, length=112)


def train_classifier(args: argparse.Namespace) -> None:
    """Logistic regression on the stems of beginnings of replies: is there anything rude in them yet?"""
    from random import Random

    import numpy as np

    from mindcold.constraints.keywords import stems
    from mindcold.model_zoo.harmless import FILE

    rng, texts, labels = Random(args.seed), list[tuple[str, ...]](), list[float]()
    for item in islice(replies.training(args.seed + 9), 4000):
        words = item.solution.split()
        count = rng.randint(1, len(words))
        texts.append(stems(" ".join(words[:count]), "english"))
        labels.append(0.0 if item.rude and count > 2 else 1.0)
    known = sorted({stem for text in texts for stem in text})
    x = np.array([[stem in text for stem in known] for text in texts], np.float64)
    y, weights, bias = np.array(labels), np.zeros(len(known)), 0.0
    for _ in range(3000):
        error = 1 / (1 + np.exp(-(x @ weights + bias))) - y
        weights -= 2.0 * (x.T @ error / len(y) + 1e-4 * weights)
        bias -= 2.0 * error.mean()
    right = float((((x @ weights + bias) > 0) == (y > 0.5)).mean())
    print(f"classifier: {len(known)} stems, {right:.1%} of the training beginnings right", file=sys.stderr)
    kept = {stem: round(float(weight), 3) for stem, weight in zip(known, weights, strict=True) if abs(weight) > 0.5}
    write_json(REPLIES / FILE, {"bias": round(bias, 3), "weights": kept})


def train_adapter(
    args, folder: Path, texts, rank: int, targets: str, steps: int, rate: float, length: int = LENGTH
) -> None:
    """One adapter on prompts and completions."""
    from mindcold.training.lora import LoraSettings
    from mindcold.training.model import TrainingLM
    from mindcold.training.reading import TextEncoder

    config, encoder = ModelConfig.from_folder(BASE), TextEncoder(Tokenizer(BASE), 2)
    lora = LoraSettings(rank, 2.0 * rank, tuple(targets.split(",")), args.seed)
    batch = 16
    rows = [encoder.completion(*text).row() for text in islice(texts, steps * batch)]
    network = TrainingLM(config, read_weights(config), lora)
    train_network(args, args.work / folder.name, network, rows, length, batch, steps, rate, 20)
    export_adapter(network, config, BASE.name, folder)


def draw_pictures(args: argparse.Namespace) -> None:
    """Loss of the runs that made each model, one after the other, as loss.csv and loss.png beside it."""
    from loss_picture import draw

    models = {("base", "habits"): BASE, (args.adapter.name,): args.adapter, ("draft",): DRAFT}
    models |= {(folder.name,): folder for folder in (KEYWORDS, REPLIES, EDITS)}
    for runs, folder in models.items():
        draw(folder, [args.work / run / "loss.jsonl" for run in runs])


def evaluate(args: argparse.Namespace) -> None:
    """Print, as JSON, how many of the problems each way of decoding gets right, and how the rest went wrong."""
    import json
    from collections import Counter

    from mindcold.llm import load

    items = {"validation": problems.validation, "held_out": problems.held_out}[args.split](0, args.problems)
    llm = load(BASE, args.adapter)
    ways: dict[str, dict[str, Any]] = {
        "base greedy": {"adapter": "base"},
        "LoRA greedy": {},
        **{f"CoLD beta {beta:g}": {"method": "cold", "alpha": 0.1, "beta": beta} for beta in (0.25, 0.5, 1.0)},
    }
    for name, way in ways.items():
        outputs = llm.generate([item.prompt for item in items], max_new_tokens=80, **way)
        kinds = Counter(kind_of(out.text, item) for out, item in zip(outputs, items, strict=True))
        result = {"decoding": name, "split": args.split, "problems": len(items), **dict(sorted(kinds.items()))}
        print(json.dumps(result), flush=True)


def kind_of(text: str, item: problems.Problem) -> str:
    """Right, no answer, the last step forgotten, a slip of one or ten, or wrong in another way."""
    answer = problems.answer_of(text)
    if answer is None:
        return "no_answer"
    if answer == item.answer:
        return "right"
    first = problems.apply(item.operations[0], *item.numbers[:2])
    if len(item.operations) == 2 and answer == first:
        return "step_forgotten"
    return "slip" if abs(answer - item.answer) in (1, 10) else "other_wrong"


def main() -> int:
    """Run the stages named on the command line, in order."""
    stages = {
        "tokenizer": None,
        "base": train_base,
        "habits": train_habits,
        "adapter": train_steps,
        "keywords": train_keywords,
        "replies": train_replies,
        "edits": train_edits,
        "draft": train_draft,
        "classifier": train_classifier,
        "picture": draw_pictures,
        "evaluate": evaluate,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=list(stages))
    parser.add_argument("--work", type=Path, default=Path("build/zoo"), help="folder of the runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--documents", type=int, default=127_000, help="documents of the base corpus")
    parser.add_argument("--careless-documents", type=int, default=23_000, help="documents of the second part")
    parser.add_argument("--draft-documents", type=int, default=120_000, help="documents of the draft model")
    parser.add_argument("--keyword-steps", type=int, default=700, help="steps of 16 keyword tasks")
    parser.add_argument("--reply-steps", type=int, default=400, help="steps of 16 replies")
    parser.add_argument("--edit-steps", type=int, default=3500, help="steps of 16 texts to edit")
    parser.add_argument("--batch", type=int, default=32, help="rows of 96 tokens per base step")
    parser.add_argument("--base-steps", type=int, help="default: one pass over the documents")
    parser.add_argument("--adapter", type=Path, default=ADAPTER, help="folder of the adapter")
    parser.add_argument("--adapter-steps", type=int, default=40, help="steps of 16 problems")
    parser.add_argument("--adapter-rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--targets", default="q_proj,v_proj")
    parser.add_argument("--split", choices=("validation", "held_out"), default="validation", help="of evaluate")
    parser.add_argument("--problems", type=int, default=200, help="problems of evaluate")
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
