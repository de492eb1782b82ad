"""Bodies of OpenAI's chat and text completions as requests of mindcold; what cannot be honoured is named."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mindcold.errors import RequestError
from mindcold.request import BASE, Prompt, Request
from mindcold.sampling_params import SamplingParams

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"

RENAMED = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens", "stop": "stop_strings"}
"""OpenAI's names of keywords that have another one here."""

HARMLESS: dict[str, tuple[Any, ...]] = {
    "stream": (False,),
    "store": (False,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "best_of": (1,),
    "logit_bias": ({},),
    "suffix": ("",),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""OpenAI's fields that are not supported, and the values that ask for nothing."""

IGNORED = ("user", "metadata")
"""They do not concern decoding."""

MAX_CHOICES = 128

_KEYWORDS = {item.name for item in fields(SamplingParams)} - {"stop_strings", "max_new_tokens", "top_logprobs"}
_SAMPLING = {item.name for item in fields(SamplingParams) if item.metadata["group"] == "sampling"}


@dataclass(frozen=True, slots=True)
class Body:
    """What one line asks for: a request for each choice of its response."""

    url: str
    model: str
    requests: list[Request]
    logprobs: bool = False
    """Whether the log-probability of each token goes into the response."""
    stops: tuple[str, ...] = ()
    """Stop strings, which OpenAI's texts leave out."""
    prompts: int = 1
    """How many prompts the requests are for."""


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads bodies for one loaded model."""

    models: Collection[str]
    """Names of the base model."""
    adapters: Collection[str]
    """Names of the live adapters."""
    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Method and keywords where a body does not say."""
    chat: bool = False
    """Whether the prompts of a text file are user messages."""

    def __post_init__(self) -> None:
        if self.options.get("top_logprobs"):
            raise RequestError("top_logprobs: responses of a batch have the tokens that were chosen alone")

    def of_prompt(self, prompt: str) -> Body:
        """The line of a text file."""
        url = CHAT if self.chat else COMPLETIONS
        given: Prompt = [{"role": "user", "content": prompt}] if self.chat else prompt
        model = next(iter([*self.adapters, *self.models]))
        return Body(url, model, [Request(given, self.method, **self.options)], stops=_stops(dict(self.options)))

    def of_line(self, line: Mapping[str, Any]) -> Body:
        """A line of OpenAI's batch format; RequestError names the field that is wrong."""
        for name in line:
            if name not in ("custom_id", "method", "url", "body"):
                raise RequestError(f"{name[:60]}: not a field of a batch line (custom_id, method, url, body)")
        if not isinstance(line.get("custom_id"), str) or not line["custom_id"]:
            raise RequestError(f"custom_id: a non-empty string is expected, found {line.get('custom_id')!r:.60}")
        if line.get("method", "POST") != "POST":
            raise RequestError(f"method: 'POST' is expected, found {line['method']!r:.60}")
        if line.get("url") not in (CHAT, COMPLETIONS):
            raise RequestError(f"url: {CHAT} or {COMPLETIONS} is expected, found {line.get('url')!r:.60}")
        body = line.get("body")
        if not isinstance(body, dict):
            raise RequestError(f"body: an object is expected, found {type(body).__name__}")
        return self._read(line["url"], {name: value for name, value in body.items() if value is not None})

    def _read(self, url: str, body: dict[str, Any]) -> Body:
        model, adapter = self._model(body)
        prompts = _messages(body) if url == CHAT else _prompts(body)
        choices, logprobs = _integer(body, "n", 1, MAX_CHOICES), _logprobs(body, url)
        if len(prompts) * choices > MAX_CHOICES:
            raise RequestError(f"n: {len(prompts)} prompts of {choices} choices are more than {MAX_CHOICES}")
        method, options = self._decoding(body)
        if body:
            raise RequestError(f"{min(body)[:60]}: not supported")
        requests = [Request(prompt, method, adapter=adapter, **options) for prompt in prompts for _ in range(choices)]
        return Body(url, model, requests, logprobs, _stops(options), len(prompts))

    def _model(self, body: dict[str, Any]) -> tuple[str, str | None]:
        """The name in the response, and the adapter it means; None is the first."""
        name = body.pop("model", None)
        if name is None:
            return next(iter([*self.adapters, *self.models])), None
        if name in self.adapters:
            return name, name
        if name in self.models or name == BASE:
            return name, BASE
        known = ", ".join([*self.adapters, *self.models])
        raise RequestError(f"model: {name!r:.60} is not loaded; known are {known}")

    def _decoding(self, body: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Method and keywords, taken out of the body together with what asks for nothing.

        Temperature 0 takes the best token; another temperature, top_p, top_k or min_p draws.
        """
        for name, values in HARMLESS.items():
            if name in body and body[name] in values:
                del body[name]
        for name in IGNORED:
            body.pop(name, None)
        options = dict(self.options)
        method = body.pop("decoding_method", self.method)
        if method is not None and not isinstance(method, str):
            raise RequestError(f"decoding_method: a name is expected, found {method!r:.60}")
        if "max_tokens" in body and "max_completion_tokens" in body:
            raise RequestError("max_tokens: given beside max_completion_tokens")
        for name, own in RENAMED.items():
            if name in body:
                options[own] = body.pop(name)
        temperature = body.get("temperature")
        if temperature == 0 and not isinstance(temperature, bool):
            for name in _SAMPLING:
                body.pop(name, None)
                options.pop(name, None)
            if method is not None:
                options["do_sample"] = False
            else:
                method = "greedy"
        elif any(name in body for name in _SAMPLING - {"do_sample"}):
            if method is None and "do_sample" not in body:
                method = "sample"
            else:
                options.setdefault("do_sample", True)
        constraint = _constraint(body)
        for name in sorted(_KEYWORDS & set(body)):
            options[name] = body.pop(name)
        if constraint:
            options["constraint"] = constraint
        if "num_beams" in options and method is None:
            method = "beam"
        return method, options


def _messages(body: dict[str, Any]) -> list[Prompt]:
    """The conversation, with text parts joined."""
    messages = body.pop("messages", None)
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise RequestError("messages: a non-empty list of objects is expected")
    out = []
    for i, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            kinds = [part.get("type") if isinstance(part, dict) else None for part in content]
            if any(kind != "text" for kind in kinds) or not all(isinstance(part.get("text"), str) for part in content):
                raise RequestError(f"messages: {i}: content: parts of type text are expected")
            message = message | {"content": "".join(part["text"] for part in content)}
        elif not isinstance(content, str):
            raise RequestError(f"messages: {i}: content: a text is expected, found {content!r:.60}")
        if not isinstance(message.get("role"), str):
            raise RequestError(f"messages: {i}: role: a text is expected, found {message.get('role')!r:.60}")
        out.append(message)
    return [out]


def _prompts(body: dict[str, Any]) -> list[Prompt]:
    """A text, token ids, or a list of texts or of token ids."""
    prompt = body.pop("prompt", None)
    if isinstance(prompt, str) or (isinstance(prompt, list) and prompt and all(_is_id(item) for item in prompt)):
        return [prompt]
    if isinstance(prompt, list) and prompt:
        if all(isinstance(item, str) for item in prompt):
            return prompt
        if all(isinstance(item, list) and item and all(_is_id(token) for token in item) for item in prompt):
            return prompt
    raise RequestError(f"prompt: a text, token ids or a list of these is expected, found {prompt!r:.60}")


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(body: dict[str, Any], name: str, default: int, high: int) -> int:
    value = body.pop(name, default)
    if not _is_id(value) or not 1 <= value <= high:
        raise RequestError(f"{name}: an integer from 1 to {high} is expected, found {value!r:.60}")
    return value


def _logprobs(body: dict[str, Any], url: str) -> bool:
    """Whether the log-probabilities of the tokens are wanted; those of others are not had."""
    value = body.pop("logprobs", False)
    if url == CHAT:
        if not isinstance(value, bool):
            raise RequestError(f"logprobs: true or false is expected, found {value!r:.60}")
        return value
    if value is not False and value != 0:
        raise RequestError(f"logprobs: 0 is expected (the tokens that were chosen), found {value!r:.60}")
    return value is not False


def _constraint(body: dict[str, Any]) -> list[Any]:
    """What must hold of the text, out of `constraint` and `response_format`."""
    found = [body.pop("constraint")] if "constraint" in body else []
    form = body.pop("response_format", None)
    if form is None or form == {"type": "text"}:
        return found
    kind = form.get("type") if isinstance(form, dict) else form
    if kind != "json_schema":
        raise RequestError(f"response_format: type: 'text' or 'json_schema' is expected, found {kind!r:.60}")
    inner = form.get("json_schema")
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        raise RequestError("response_format: json_schema: schema: an object is expected")
    return [*found, {"json_schema": inner["schema"]}]


def _stops(options: dict[str, Any]) -> tuple[str, ...]:
    given = options.get("stop_strings")
    return (given,) if isinstance(given, str) else tuple(given) if isinstance(given, (list, tuple)) else ()
