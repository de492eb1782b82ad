"""Chat prompts against texts of transformers, and what a template may do."""

import json
from pathlib import Path
from types import MappingProxyType

import pytest

from mindcold.chat import render, special_tokens
from mindcold.errors import TokenizerError

FOLDER = Path(__file__).parent / "fixtures" / "chat"
FIXTURES = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
CASES = [(template, name) for template, texts in FIXTURES["golden"].items() for name in texts]


@pytest.mark.parametrize(("template", "name"), CASES)
def test_as_transformers_renders_it(template, name):
    source = (FOLDER / f"{template}.jinja").read_text(encoding="utf-8")
    arguments = dict(FIXTURES["conversations"][name])
    messages, expected = arguments.pop("messages"), FIXTURES["golden"][template][name]
    if expected is None:
        with pytest.raises(TokenizerError, match=r"^here: the chat template failed: "):
            render(source, messages, special_tokens=FIXTURES["tokens"], where="here", **arguments)
    else:
        assert render(source, messages, special_tokens=FIXTURES["tokens"], **arguments) == expected


def test_the_fixtures_say_something():
    """Every template renders most conversations, and each refusal is of one template alone."""
    golden = FIXTURES["golden"]
    assert len(golden) == 6 and {"llama", "qwen2.5", "qwen3", "mistral", "smollm2"} < golden.keys()
    for texts in golden.values():
        assert sum(text is not None for text in texts.values()) > len(texts) // 2
        assert len({text for text in texts.values() if text}) > 6
    tools = json.dumps(FIXTURES["conversations"]["tools"]["tools"][0], ensure_ascii=False)
    assert tools in golden["qwen2.5"]["tools"]


USER = [{"role": "user", "content": "hi"}]


def test_what_is_absent_is_none_or_undefined():
    assert render("{{ tools is none }} {{ documents is none }} {{ pad_token is defined }}", USER) == "True True False"
    assert render(
        "{{ bos_token }}{{ x }}", USER, special_tokens={"bos_token": "<s>"}, x=MappingProxyType({"a": 1})
    ) == ("<s>{'a': 1}")


def test_special_tokens_of_a_tokenizer_config():
    settings = {
        "bos_token": {"content": "<s>", "lstrip": False},
        "eos_token": "</s>",
        "pad_token": None,
        "unk_token": 3,
    }
    assert special_tokens(settings) == {"bos_token": "<s>", "eos_token": "</s>"}


def test_the_clock():
    assert render("{{ strftime_now('%Y') | length }}", USER) == "4"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% if %}", "Expected an expression"),
        ("{{ raise_exception('no\n such role') }}", "no such role"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ ''.__class__.__mro__ }}", "__class__"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages[0].content + 1 }}", "str"),
        ("{{ missing.field }}", "'missing' is undefined"),
        ("{% if 1 / 0 %}{% endif %}", "division by zero"),
        ("{% if 1 %}" * 500 + "{% endif %}" * 500, "recursion"),
        ("{% for x in messages %}" * 30 + "{% endfor %}" * 30, "too many statically nested blocks"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "recursion"),
        ("{{ 'a' * 10 ** 10 }}", "takes more than 768 MB of memory"),
        ("{{ '%10000000000d' | format(1) }}", "takes more than 768 MB of memory"),
        ("{{ 'x' | center(10 ** 10) }}", "takes more than 768 MB of memory"),
        ("{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", "more than 16777216 characters"),
        ("{# x #}" * 200_000, "more than 1048576 characters"),
    ],
)
def test_a_template_that_fails_is_one_line(template, message):
    with pytest.raises(TokenizerError, match=r"^chat.jinja: the chat template (failed: |has )") as found:
        render(template, USER, where="chat.jinja")
    assert message in str(found.value) and "\n" not in str(found.value) and len(str(found.value)) < 300


@pytest.mark.parametrize("template", ["{{ 10 ** (10 ** 8) }}", "{{ lipsum(10 ** 7) }}"])
def test_a_template_without_end_is_ended(template, monkeypatch):
    monkeypatch.setattr("mindcold.chat.SECONDS", 0.5)
    with pytest.raises(TokenizerError, match=r"takes more than 0\.5 seconds"):
        render(template, USER)


def test_messages_are_dictionaries():
    with pytest.raises(TokenizerError, match="messages: dictionaries with role and content"):
        render("{{ messages }}", ["hi"])
    with pytest.raises(TokenizerError, match="data that JSON can hold is expected"):
        render("{{ messages }}", [{"role": "user", "content": object()}])
