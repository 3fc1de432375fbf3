"""From the body of a /v1 request to what a worker is asked: OpenAI's parameters, and llama-server's where OpenAI has none. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.answering.request import Messages, Prompt, Text
from inference.core.decoding.generation_options import BadParameter, GenerationOptions
from inference.engine.protocol import ChatMessage
from models_app.storable import unstorable

_SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "top_k",
        "min_p",
        "repeat_penalty",
        "repeat_last_n",
        "grammar",
        "json_schema",
    }
)
"""Passed on under their own names. The last six are llama-server's."""
_TAKEN = frozenset(
    {"model", "stream", "stream_options", "n", "seed", "max_tokens", "max_completion_tokens", "response_format"}
)
_WITHOUT_EFFECT = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})
"""Accepted because programs send them and nothing they ask for is withheld."""
_NOT_OFFERED: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
}
"""Parameters whose effect this box has not; and the values that ask for nothing."""


class BadRequest(ValueError):
    """The request can't be served as asked. `param` names the culprit where there is one."""

    def __init__(self, detail: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a program wants completed, and how it wants to read it."""

    model: str
    prompt: Prompt
    stream: bool
    include_usage: bool


def parse(body: bytes, *, chat: bool) -> CompletionRequest:
    """What is asked of chat/completions, or of completions. Raises BadRequest."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise BadRequest("The body must be a JSON object.")
    fields = {name: value for name, value in fields.items() if value is not None}
    for name, value in fields.items():
        if found := unstorable([name, value]):
            raise BadRequest(f"{name} holds {found}.", name if name.isascii() and name.isprintable() else None)
    _refuse_unknown(fields, {"messages"} if chat else {"prompt"})
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("model is missing: name one that /v1/models lists.", "model")
    stream = _flag(fields, "stream")
    prompt: Prompt
    if chat:
        prompt = Messages(_messages(fields.get("messages")), _options(fields))
    else:
        prompt = Text(_text(fields.get("prompt")), _options(fields))
    return CompletionRequest(
        model=model,
        prompt=prompt,
        stream=stream,
        include_usage=_include_usage(fields, stream),
    )


def _refuse_unknown(fields: Mapping[str, Any], own: set[str]) -> None:
    for name, value in fields.items():
        if name in own or name in _SAMPLING or name in _TAKEN or name in _WITHOUT_EFFECT:
            continue
        if name not in _NOT_OFFERED:
            raise BadRequest(f"{name} is not a parameter of this endpoint.", name, "unknown_parameter")
        # 1 == True: compare types too.
        if not any(value == idle and type(value) is type(idle) for idle in _NOT_OFFERED[name]):
            raise BadRequest(f"{name} is not supported here.", name, "unsupported_parameter")
    if fields.get("n", 1) != 1 or isinstance(fields.get("n"), bool):
        raise BadRequest("n: only 1 is supported; send the request again for another answer.", "n")


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: expected true or false.", name)
    return value


def _include_usage(fields: Mapping[str, Any], stream: bool) -> bool:
    options = fields.get("stream_options", {})
    if not isinstance(options, dict):
        raise BadRequest("stream_options: expected an object.", "stream_options")
    if options and not stream:
        raise BadRequest("stream_options only goes with stream: true.", "stream_options")
    include = options.get("include_usage", False)
    if not isinstance(include, bool):
        raise BadRequest("stream_options.include_usage: expected true or false.", "stream_options")
    return include


def _options(fields: Mapping[str, Any]) -> GenerationOptions:
    chosen = {name: fields[name] for name in _SAMPLING if name in fields}
    limit = "max_completion_tokens" if "max_completion_tokens" in fields else "max_tokens"
    if limit in fields:
        chosen["max_tokens"] = fields[limit]
    if "seed" in fields:
        seed = fields["seed"]
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise BadRequest("seed: expected a whole number.", "seed")
        # OpenAI's are 64 bits wide, llama.cpp's 32, the last of which means: take one by chance.
        chosen["seed"] = seed % (2**32 - 1)
    if "response_format" in fields:
        schema = _schema(fields["response_format"])
        if schema is not None:
            if "grammar" in chosen or "json_schema" in chosen:
                raise BadRequest("response_format excludes grammar and json_schema.", "response_format")
            chosen["json_schema"] = schema
    try:
        return GenerationOptions.from_json(chosen)
    except BadParameter as error:
        if error.name == "max_tokens":
            raise BadRequest(f"{limit}: expected {error.allowed}.", limit) from None
        raise BadRequest(str(error), error.name) from None


def _schema(wanted: Any) -> Mapping[str, Any] | None:
    """The JSON schema that a response_format asks for; None for plain text."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    schema: Any
    if kind == "json_object":
        # llama-server takes a schema here too.
        schema = wanted.get("schema", {"type": "object"})
    elif kind == "json_schema":
        described = wanted.get("json_schema")
        schema = described.get("schema") if isinstance(described, dict) else None
    else:
        raise BadRequest(
            "response_format: expected an object whose type is text, json_object or json_schema.", "response_format"
        )
    if not isinstance(schema, dict):
        raise BadRequest("response_format: the schema must be an object.", "response_format")
    return schema


def _messages(messages: Any) -> list[ChatMessage]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: expected a list of at least one message.", "messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _message(message: Any, where: str) -> ChatMessage:
    if not isinstance(message, dict):
        raise BadRequest(f"{where}: expected an object.", "messages")
    role = message.get("role")
    if role in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
        raise BadRequest(f"{where}: tools are not supported here.", "messages", "unsupported_parameter")
    if role not in ("system", "developer", "user", "assistant"):
        raise BadRequest(f"{where}.role: expected system, developer, user or assistant.", "messages")
    parsed: ChatMessage = {
        "role": "system" if role == "developer" else role,
        "content": _content(message.get("content"), where, may_lack=role == "assistant"),
    }
    if (name := message.get("name")) is not None:
        if not isinstance(name, str):
            raise BadRequest(f"{where}.name: expected a string.", "messages")
        parsed["name"] = name
    return parsed


def _content(content: Any, where: str, *, may_lack: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None and may_lack:
        return ""
    if not isinstance(content, list):
        raise BadRequest(f"{where}.content: expected a string or a list of parts.", "messages")
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            raise BadRequest(
                f"{where}.content[{index}]: only text parts are supported here, no images, audio or files.", "messages"
            )
        if not isinstance(part.get("text"), str):
            raise BadRequest(f"{where}.content[{index}].text: expected a string.", "messages")
        texts.append(part["text"])
    return "".join(texts)


def _text(prompt: Any) -> str:
    if isinstance(prompt, list) and len(prompt) == 1:
        (prompt,) = prompt
    if not isinstance(prompt, str):
        raise BadRequest(
            "prompt: expected one string; lists of prompts and of tokens are not supported here.", "prompt"
        )
    return prompt
