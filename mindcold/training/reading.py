"""Files of training data: documents, prompts with completions, and conversations, checked before training."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mindcold.errors import TokenizerError, TrainingError
from mindcold.text_files import parse_json, read_lines
from mindcold.tokenizer import Tokenizer
from mindcold.training.rows import Example, Row, cut, packed
from mindcold.training.targets import read_places

KINDS = ("text", "prompt and completion", "messages")


class TextEncoder:
    """Turns the texts of a line into token ids, as they will be at decoding time; `eos` ends every text."""

    def __init__(self, tokenizer: Tokenizer, eos: int, bos: int | None = None):
        self._tokenizer, self._eos, self._bos = tokenizer, eos, bos

    def document(self, text: str) -> list[int]:
        """All of a text."""
        return [*self._begin(text), self._eos]

    def completion(self, prompt: str, completion: str) -> Example:
        """A text of which the completion and the end are learned."""
        before = self._begin(prompt)
        whole = self._continue(before, self._begin(prompt + completion), completion)
        return _example(before, [*whole, self._eos])

    def conversation(self, messages: Sequence[dict[str, Any]]) -> Example:
        """Messages through the chat template; the assistant's are learned, each up to the end of its turn.

        Raises TokenizerError where the template refuses the messages, or does not render a conversation as the
        beginning of the longer one.
        """
        ids: list[int] = []
        learned: list[bool] = []
        text = ""
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._tokenizer.render_chat(messages[:number])
            answer = self._tokenizer.render_chat(messages[: number + 1], add_generation_prompt=False)
            if not prompt.startswith(text) or not answer.startswith(prompt):
                raise TokenizerError("the chat template renders a conversation otherwise once it goes on; use prompts")
            ids = self._continue(ids, self._encode(prompt), prompt[len(text) :])
            learned += [False] * (len(ids) - len(learned))
            ids = self._continue(ids, self._encode(answer), answer[len(prompt) :])
            turn = ids[len(learned) :]
            end = turn.index(self._eos) + 1 if self._eos in turn else len(turn)
            learned += [place < end for place in range(len(turn))]
            text = answer
        while learned and not learned[-1]:  # what the template writes after the last turn
            del ids[-1], learned[-1]
        if ids and ids[-1] != self._eos:
            ids.append(self._eos)
            learned.append(True)
        return Example(ids, learned)

    def _begin(self, text: str) -> list[int]:
        """Token ids of a text with the special tokens around it; one beginning where the text writes it out too."""
        ids = self._tokenizer.encode(text)
        while self._bos is not None and ids[:2] == [self._bos, self._bos]:
            del ids[0]
        return ids

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _continue(self, before: list[int], whole: list[int], part: str) -> list[int]:
        """The ids of the whole text where they go on from those before, else those before and those of the part."""
        return whole if whole[: len(before)] == before else [*before, *self._encode(part)]


def _example(before: Sequence[int], whole: Sequence[int]) -> Example:
    return Example(whole, [i >= len(before) for i in range(len(whole))])


def is_examples(path: Path) -> bool:
    """Whether a file has an example in every line rather than a document."""
    return path.suffix == ".jsonl"


def read_rows(path: Path, encoder: TextEncoder, length: int, pack: bool = False) -> list[Row]:
    """Rows of at most `length` tokens from a file.

    .jsonl has "text", or "prompt" and "completion", or "messages" in every line; any other file is a document per line.
    Documents are put one after the other and cut; examples stay whole, one a row or with `pack` several. Raises
    TrainingError naming the file and the line.
    """
    lines = read_lines(path, TrainingError)
    if not is_examples(path):
        return cut((encoder.document(line) for _, line in lines if line.strip()), length)
    documents: list[list[int]] = []
    rows: list[Row] = []
    first: tuple[int, str] | None = None
    for number, line in lines:
        if not line.strip():
            continue
        kind, found = _read(line, encoder, f"{path}: line {number}")
        first = first or (number, kind)
        if kind != first[1]:
            raise TrainingError(f"{path}: line {number}: {kind}, but line {first[0]} has {first[1]}; keep to one")
        if not isinstance(found, Example):
            documents.append(found)
            continue
        if len(found.tokens) - 1 > length:
            raise TrainingError(
                f"{path}: line {number}: {len(found.tokens)} tokens, sequence_length is {length}; raise it or leave "
                "the line out"
            )
        if not any(found.learned[1:]):
            raise TrainingError(f"{path}: line {number}: holds nothing to learn (an assistant's message, a completion)")
        rows.append(found.row())
    if first is None:
        raise TrainingError(f"{path}: no examples; a line is {_expected()}")
    if documents:
        return cut(documents, length)
    return packed(rows, length) if pack else rows


def _expected() -> str:
    return 'a JSON object with a string "text", strings "prompt" and "completion", or a list "messages"'


def _read(line: str, encoder: TextEncoder, where: str) -> tuple[str, list[int] | Example]:
    """What kind of line it is, and its token ids."""
    try:
        item = parse_json(line)
    except ValueError as error:
        raise TrainingError(f"{where}: {error}") from None
    raw = item if isinstance(item, dict) else {}

    def strings(*names: str) -> bool:
        return all(isinstance(raw.get(name), str) for name in names)

    encode: Callable[[], list[int] | Example]
    if strings("text"):
        kind, encode = KINDS[0], lambda: encoder.document(raw["text"])
    elif strings("prompt", "completion"):
        kind, encode = KINDS[1], lambda: _taught(encoder.completion(raw["prompt"], raw["completion"]), raw)
    elif isinstance(raw.get("messages"), list):
        for message in raw["messages"]:
            if not isinstance(message, dict) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
                raise TrainingError(f"{where}: messages: objects with strings role and content are expected")
        kind, encode = KINDS[2], lambda: encoder.conversation(raw["messages"])
    else:
        raise TrainingError(f"{where}: {_expected()} is expected")
    try:
        return kind, encode()
    except (TokenizerError, TrainingError) as error:
        raise TrainingError(f"{where}: {error}") from None


def _taught(example: Example, raw: dict[str, Any]) -> Example:
    """With what a teacher held likely, where the line says so."""
    if "top_logprobs" not in raw:
        return example
    return replace(example, places=read_places(raw["top_logprobs"], sum(example.learned)))
