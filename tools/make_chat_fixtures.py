"""Write tests/fixtures/chat/golden.json: what transformers makes of conversations with the templates in that folder.

Run by an interpreter with transformers: .peer/bin/python tools/make_chat_fixtures.py. The templates are our own, with
the constructs of the models they are named after.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "chat"

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

# keys out of order, letters beyond ASCII and marks of HTML, on which tojson filters differ
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Wetter für eine Stadt, <b>heute</b> & morgen's",
            "parameters": {
                "type": "object",
                "properties": {"stadt": {"type": "string", "enum": ["Zürich", "München"]}, "Tage": {"type": "integer"}},
                "required": ["stadt"],
            },
        },
    },
    {"type": "function", "function": {"name": "add", "parameters": {"b": 1, "a": [1.5, None, True]}, "return": "int"}},
]

SYSTEM = {"role": "system", "content": "  Answer in one word.\n"}
USER = {"role": "user", "content": 'What is "1 < 2"? Grüße 😀 '}
ANSWER = {"role": "assistant", "content": " It holds. "}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "abcdefghi",
            "type": "function",
            "function": {"name": "weather", "arguments": {"stadt": "Zürich", "Tage": 3, "a": "<&>'"}},
        }
    ],
}
RESULT = {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": {"warm": True, "grad": "21 °C"}}
TEXT_RESULT = RESULT | {"content": "21 °C"}
THOUGHT = {"role": "assistant", "content": "<think>\nWell.\n</think>\n\nYes."}
DOCUMENTS = [{"title": "Über", "text": "a < b", "tags": {"z": 1, "a": "ü"}}, {"title": "Two", "text": "", "tags": []}]

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "user": {"messages": [USER]},
    "system": {"messages": [SYSTEM, USER]},
    "turns": {"messages": [SYSTEM, USER, ANSWER, USER]},
    "no prompt": {"messages": [USER, ANSWER], "add_generation_prompt": False},
    "tools": {"messages": [USER], "tools": TOOLS},
    "tools, system": {"messages": [SYSTEM, USER], "tools": TOOLS},
    "call": {"messages": [SYSTEM, USER, CALL, RESULT], "tools": TOOLS},
    "call, answered": {"messages": [USER, CALL, TEXT_RESULT, ANSWER, USER], "tools": TOOLS[:1]},
    "two results": {"messages": [USER, CALL, RESULT, TEXT_RESULT]},
    "thought": {"messages": [USER, THOUGHT, USER, THOUGHT], "add_generation_prompt": False},
    "reasoning": {"messages": [USER, ANSWER | {"reasoning_content": "Because."}]},
    "no thinking": {"messages": [USER], "enable_thinking": False},
    "tools beside": {"messages": [SYSTEM, USER], "tools": TOOLS, "tools_in_user_message": False},
    "date": {"messages": [USER], "date_string": "24 Dec 2026"},
    "documents": {"messages": [USER, {"role": "ignored", "content": ""}, ANSWER, USER], "documents": DOCUMENTS},
    "no documents": {"messages": [SYSTEM, USER, ANSWER], "documents": []},
    "wrong turns": {"messages": [USER, USER]},
    "many": {"messages": [USER, ANSWER] * 6},
}


def main() -> None:
    """Render every conversation with every template; what a template refuses is null."""
    import jinja2
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    empty = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=empty, **TOKENS)
    golden: dict[str, dict[str, str | None]] = {}
    for path in sorted(FOLDER.glob("*.jinja")):
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        golden[path.stem] = {}
        for name, conversation in CONVERSATIONS.items():
            arguments = {"add_generation_prompt": True} | conversation
            messages = arguments.pop("messages")
            try:
                text: Any = tokenizer.apply_chat_template(messages, tokenize=False, **arguments)
            except (jinja2.TemplateError, TypeError):
                text = None
            golden[path.stem][name] = text
    content = {"tokens": TOKENS, "conversations": CONVERSATIONS, "golden": golden}
    (FOLDER / "golden.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
