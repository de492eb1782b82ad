"""Jobs: answers as each request alone gives them, bad lines as records, and runs that go on."""

import json

import pytest

import mindcold
from mindcold.batch.body import CHAT, Body
from mindcold.batch.input_file import Line
from mindcold.batch.response import Choice, record
from mindcold.cli import main
from tests.batch.jobs import ROOT, answers, model, read_lines, request, requests, write_lines
from tests.folders import write_adapter


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    model(folder)
    write_adapter(folder / "one", seed=1)
    write_adapter(folder / "two", seed=5)
    return folder


def batch(folder, source, output, *more):
    """The exit code of a job with two adapters."""
    adapters = ["--adapter", f"poet={folder / 'one'}", "--adapter", f"chef={folder / 'two'}"]
    return main(
        ["batch", "--model", str(folder / "model"), *adapters, "--input", str(source), "--output", str(output), *more]
    )


def test_many_adapters_and_methods_share_a_job_and_answer_as_alone(folder, tmp_path):
    lines = [
        request("a", model="poet", prompt=[5, 9, 33], max_tokens=8),
        request("b", model="chef", prompt=[5, 9, 33], max_tokens=8, decoding_method="cold", draft="trigram"),
        request("c", model="model", prompt=[7] * 40, max_tokens=5),
        request("d", model="chef", prompt=[7], max_tokens=6, decoding_method="beam", num_beams=3),
        request("e", model="poet", prompt=[[5], [6]], max_tokens=6, temperature=0.7, seed=3, n=2),
        request("f", model="base", prompt=[5, 9, 33], max_tokens=8, suppress_tokens=[4]),
    ]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    assert batch(folder, source, output, "--dtype", "float32", "--max-batch", "3") == 0
    found = answers(output)
    llm = mindcold.load(folder / "model", dtype="float32")
    llm.add_adapter("poet", folder / "one")
    llm.add_adapter("chef", folder / "two")
    for name, prompt, method, adapter, options in (
        ("a", [5, 9, 33], "greedy", "poet", {"max_new_tokens": 8}),
        ("b", [5, 9, 33], "cold", "chef", {"max_new_tokens": 8}),
        ("c", [7] * 40, "greedy", "base", {"max_new_tokens": 5}),
        ("d", [7], "beam", "chef", {"max_new_tokens": 6, "num_beams": 3}),
        ("f", [5, 9, 33], "greedy", "base", {"max_new_tokens": 8, "suppress_tokens": [4]}),
    ):
        out = llm.generate(prompt, method, adapter=adapter, **options)
        (choice,) = found[name]
        assert (choice["token_ids"], choice["finish_reason"]) == (out.token_ids, out.finish_reason)
    draws = [choice["token_ids"] for choice in found["e"]]
    assert len(draws) == 4 and len({tuple(draw) for draw in draws}) > 1
    usage = next(item for item in read_lines(output) if item["custom_id"] == "e")["response"]["body"]["usage"]
    assert usage["prompt_tokens"] == 2 and usage["completion_tokens"] == sum(map(len, draws))


def test_draws_depend_on_seed_and_custom_id_alone(folder, tmp_path):
    lines = requests(12)
    first, second, third = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    assert batch(folder, write_lines(tmp_path / "a.jsonl", lines), first) == 0
    assert batch(folder, write_lines(tmp_path / "b.jsonl", lines[::-1]), second, "--max-batch", "2") == 0
    assert answers(first) == answers(second)
    other = [line | {"body": line["body"] | {"seed": 99}} for line in lines]
    assert batch(folder, write_lines(tmp_path / "c.jsonl", other), third) == 0
    drawn = [f"r{i}" for i in range(0, 12, 2)]
    assert sum(answers(first)[name] != answers(third)[name] for name in drawn) > 3


def test_bad_lines_are_records_and_the_rest_is_answered(folder, tmp_path):
    good = requests(40)
    lines = [*good, b"{torn", request("r3", prompt=[1]), request("long", prompt=[5] * 300), b'"text"', b"\xff\xfe"]
    lines += [request("none", prompt=[500]), request("field", prompt=[5], nonsense=1), request("chat", CHAT)]
    lines += [request("talk", CHAT, messages=[{"role": "user", "content": "no tokenizer here"}])]
    lines += [request("regex", prompt=[5], constraint={"regex": "[a-z"})]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    assert batch(folder, source, output) == 0
    records = read_lines(output)
    assert len(records) == len(lines)
    failed = {item["id"].split("_")[2]: item["error"] for item in records if item["error"]}
    assert sorted(map(int, failed)) == list(range(41, 51))
    assert all(error["code"] == "invalid_request" and "line " in error["message"] for error in failed.values())
    assert "custom_id: 'r3' was used" in failed["00000042"]["message"]
    assert "max_position_embeddings" in failed["00000043"]["message"]
    assert "nonsense: not supported" in failed["00000047"]["message"]


def test_a_job_that_is_done_does_nothing_and_one_that_is_not_goes_on(folder, tmp_path, capsys):
    lines = requests(10)
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    assert batch(folder, source, output, "--json") == 0
    assert json.loads(capsys.readouterr().out)["done"] == 10
    whole = output.read_bytes()
    assert batch(folder, source, output, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["done"], summary["tokens"]) == (10, 0) and output.read_bytes() == whole
    kept = whole.splitlines(keepends=True)
    output.write_bytes(b"".join(kept[:4]) + kept[4][:50])
    assert batch(folder, source, output, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tokens"] > 0
    assert sorted(output.read_bytes().splitlines(keepends=True)) == sorted(kept)


def test_another_job_is_refused_until_restart(folder, tmp_path, capsys):
    source, output = write_lines(tmp_path / "in.jsonl", requests(3)), tmp_path / "out.jsonl"
    assert batch(folder, source, output) == 0
    whole = output.read_bytes()
    capsys.readouterr()
    assert batch(folder, source, output, "--max-new-tokens", "3") == 1
    assert "options: max_new_tokens: 'not given' then, '3' now" in capsys.readouterr().err
    assert batch(folder, write_lines(source, requests(4)), output) == 1
    assert "input: " in capsys.readouterr().err
    write_lines(source, requests(3))
    assert main(["batch", "--model", str(folder / "model"), "--input", str(source), "--output", str(output)]) == 1
    assert "adapters: " in capsys.readouterr().err
    assert output.read_bytes() == whole
    assert batch(folder, source, output, "--restart", "--max-new-tokens", "3") == 0
    assert len(read_lines(output)) == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (["--output", "INPUT"], "is the input"),
        (["--output", "FOLDER"], "is a folder"),
        (["--output", "FOLDER/none/out"], "no such folder"),
        (["--input", "FOLDER/none"], "No such file"),
        (["--model", "FOLDER/none"], "none"),
        (["--adapter", "=x"], "NAME=DIR"),
        (["--max-batch", "0"], "--max-batch"),
    ],
)
def test_what_cannot_start_is_one_line(folder, tmp_path, capsys, change, why):
    source = write_lines(tmp_path / "in.jsonl", requests(3))
    names = {"INPUT": str(source), "FOLDER": str(tmp_path)}
    for word, path in names.items():
        change = [item.replace(word, path) for item in change]
    assert batch(folder, source, tmp_path / "out.jsonl", *change) == 1
    error = capsys.readouterr().err
    assert why in error and error.count("\n") == 1 and not (tmp_path / "out.jsonl").exists()


def test_texts_are_openais(tmp_path):
    """The types of OpenAI's own package take every response."""
    types = pytest.importorskip("openai.types")
    lines = [
        request("b", prompt="One day", max_tokens=12, logprobs=0),
        request("c", prompt="One day", max_tokens=12, stop=[" "], n=2, temperature=0.5),
        request("d", prompt="The farmer", max_tokens=12, constraint={"keywords": ["lake"]}, decoding_method="cdsl"),
    ]
    source, output = write_lines(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    assert main(["batch", "--model", "tiny-base", "--input", str(source), "--output", str(output)]) == 0
    found = {item["custom_id"]: item for item in read_lines(output)}
    for name in "bcd":
        types.Completion.model_validate(found[name]["response"]["body"], strict=True)
    (choice,) = found["b"]["response"]["body"]["choices"]
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert all(" " not in choice["text"].strip() for choice in found["c"]["response"]["body"]["choices"])


def test_chats_are_openais():
    types = pytest.importorskip("openai.types.chat")
    llm = mindcold.load("tiny-base")
    tokens = list(llm.stream("One day", max_new_tokens=5))
    out = llm.generate("One day", max_new_tokens=5)
    body = Body(CHAT, "tiny-base", [mindcold.Request("One day")], logprobs=True)
    found = record(Line(1, {"custom_id": "a"}), body, [Choice(tokens, out)], 0, False)["response"]["body"]
    types.ChatCompletion.model_validate(found, strict=True)
    (choice,) = found["choices"]
    assert "".join(item["token"] for item in choice["logprobs"]["content"]) == choice["message"]["content"] == out.text


def test_prompts_of_a_text_file(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("One day\n\nThe farmer\n", encoding="utf-8")
    arguments = ["batch", "--model", "tiny-base", "--input", str(source), "--output", str(output)]
    assert main([*arguments, "--max-new-tokens", "6"]) == 0
    found = answers(output)
    llm = mindcold.load("tiny-base")
    for name, prompt in (("line-1", "One day"), ("line-3", "The farmer")):
        assert found[name][0]["text"] == llm.generate(prompt, max_new_tokens=6).text


def test_the_sample_is_twenty_lines():
    assert len(read_lines(ROOT / "tools" / "samples" / "requests.jsonl")) == 20
