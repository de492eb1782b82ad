"""Training data: documents packed into blocks, or prompt and completion pairs with the prompt left out of the loss."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindcold.errors import TrainingError
from mindcold.tokenizer import Tokenizer
from mindcold.training.model import IGNORED


@dataclass(frozen=True, slots=True)
class Example:
    """One training text: the completion counts in the loss, the prompt does not."""

    prompt: str
    completion: str


class TrainingSet:
    """Rows of tokens and labels, int32 [rows, length], and the batch of every step.

    The order is a permutation per epoch that depends on the seed alone, so a resumed run sees the same batches.
    """

    def __init__(self, tokens: np.ndarray, labels: np.ndarray, batch: int, steps: int, seed: int):
        if len(tokens) < batch:
            raise TrainingError(f"data: {len(tokens)} rows are fewer than one batch of {batch}; give more text")
        self.tokens, self.labels, self.batch, self.steps, self.seed = tokens, labels, batch, steps, seed

    def __len__(self) -> int:
        return self.steps

    @property
    def counted(self) -> int:
        """Bound of the labels of a batch that are not IGNORED."""
        return self.batch * int((self.labels != IGNORED).sum(axis=1).max())

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and labels of one step, int32 [batch, length] each."""
        per_epoch = len(self.tokens) // self.batch
        epoch, place = divmod(int(step), per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.tokens))
        rows = order[place * self.batch : (place + 1) * self.batch]
        return self.tokens[rows], self.labels[rows]


def pack(documents: Iterable[Sequence[int]], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate token ids of documents and cut them into rows: tokens and next tokens, int32 [rows, length]."""
    stream = np.fromiter((token for document in documents for token in document), np.int32)
    rows = max(0, len(stream) - 1) // length
    tokens = stream[: rows * length].reshape(rows, length)
    labels = stream[1 : rows * length + 1].reshape(rows, length)
    return tokens, labels


def pad(examples: Iterable[Example], tokenizer: Tokenizer, eos: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """One example per row, end-of-text added; labels are IGNORED on the prompt and the padding.

    Raises TrainingError for an example that does not fit a row.
    """
    tokens, labels = [], []
    for number, example in enumerate(examples):
        prompt = tokenizer.encode(example.prompt)
        # the two parts are tokenised together, as they will be at decoding time
        whole = [*tokenizer.encode(example.prompt + example.completion), eos]
        if whole[: len(prompt)] != prompt:
            whole = [*prompt, *tokenizer.encode(example.completion, add_special_tokens=False), eos]
        if len(whole) - 1 > length:
            raise TrainingError(f"data: example {number + 1} has {len(whole)} tokens, sequence_length is {length}")
        following = np.full(length, IGNORED, np.int32)
        following[len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
        row = np.full(length, eos, np.int32)
        row[: len(whole) - 1] = whole[:-1]
        tokens.append(row)
        labels.append(following)
    if not tokens:
        raise TrainingError("data: no examples")
    return np.stack(tokens), np.stack(labels)


def read_data(path: Path, tokenizer: Tokenizer, eos: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a file: .txt with one document per line, or .jsonl with "text" or "prompt" and "completion".

    Raises TrainingError naming the file and the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if path.suffix != ".jsonl":
        return pack(([*tokenizer.encode(line), eos] for line in lines if line.strip()), length)
    examples, documents = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError:
            raise TrainingError(f"{path}: line {number}: not valid JSON") from None
        if isinstance(item, dict) and isinstance(item.get("text"), str):
            documents.append(item["text"])
        elif isinstance(item, dict) and all(isinstance(item.get(key), str) for key in ("prompt", "completion")):
            examples.append(Example(item["prompt"], item["completion"]))
        else:
            raise TrainingError(f"{path}: line {number}: strings text, or prompt and completion, are expected")
    if examples and documents:
        raise TrainingError(f"{path}: lines with text and lines with prompt and completion cannot be mixed")
    if documents:
        return pack(([*tokenizer.encode(text), eos] for text in documents), length)
    return pad(examples, tokenizer, eos, length)
