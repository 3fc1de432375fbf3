"""What /v1 answers, in OpenAI's shapes: completions, chunks and errors. Pure, apart from the clock in `Reply`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.answering.refusals import HostStayedAway, NoChatTemplate, RefusedByHost, RefusedByWorker, WorkerGone
from inference.engine.protocol import Done, Timings, Token
from inference.host.api.client import HostRefusal, WorkerRefusal
from inference.web.visibility.visibility import Visibility
from inference.wording import refusals

SOON_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as OpenAI's clients read it."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    retry_after_seconds: int | None = None
    retry: bool = True
    """False tells OpenAI's clients not to send it again by themselves, which they do with every 5xx."""

    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(self.retry_after_seconds)
        if not self.retry:
            headers["X-Should-Retry"] = "false"
        return headers


NO_KEY = Problem(
    401, "No API key: send Authorization: Bearer …, made with manage.py create_key USER.", "invalid_api_key"
)


def no_such_model(name: str) -> Problem:
    return Problem(
        404, f"The model {name!r} does not exist here; /v1/models lists those that do.", "model_not_found", "model"
    )


def cannot_run(name: str, unusable_reason: str) -> Problem:
    return Problem(503, f"The model {name!r} cannot run. {unusable_reason}", "model_unavailable", "model", retry=False)


def problem_of(error: Exception, visibility: Visibility, prompt_param: str) -> Problem:
    """What an answer's end without `done` is to the program that asked, as its person may read it.

    `prompt_param`: where the prompt stands in the request, messages or prompt.
    """
    match error:
        case RefusedByHost():
            return _host_problem(error.refusal, visibility)
        case RefusedByWorker():
            return _worker_problem(error.refusal, prompt_param)
        case NoChatTemplate():
            return Problem(400, "This model has no chat template; use /v1/completions.", "bad_request", prompt_param)
        case WorkerGone():
            return Problem(
                500, "The process that ran this model ended in the middle of the answer.", "worker_lost", retry=False
            )
        case HostStayedAway():
            return Problem(
                503,
                "The host, which runs the models, does not answer at the moment.",
                "host_unavailable",
                retry_after_seconds=SOON_SECONDS,
            )
    return Problem(500, "Something went wrong in the web process; its log has the details.", "internal", retry=False)


def _host_problem(refusal: HostRefusal, visibility: Visibility) -> Problem:
    detail = refusals.sentence(refusal.facts, refusal.resident_id, visibility.name)
    if refusal.code in ("unknown_variant", "disabled"):
        return Problem(404, detail, "model_not_found", "model")
    if refusal.code in ("shutting_down", "unloaded"):
        return Problem(503, detail, refusal.code, retry_after_seconds=SOON_SECONDS)
    # It does not fit, or fails to load: waiting alone changes neither.
    return Problem(503, detail, refusal.code, retry=False)


def _worker_problem(error: WorkerRefusal, prompt_param: str) -> Problem:
    if error.code == "context_exceeded":
        n_prompt, n_ctx_seq = error.facts.get("n_prompt"), error.facts.get("n_ctx_seq")
        return Problem(
            400,
            f"This model's context is {n_ctx_seq} tokens, and the prompt has {n_prompt}. Shorten it.",
            "context_length_exceeded",
            prompt_param,
        )
    if error.code == "bad_parameter":
        return Problem(400, error.detail, "invalid_value", error.facts.get("name"))
    if error.code == "bad_grammar":
        return Problem(400, error.detail, "invalid_grammar", "response_format")
    if error.code in ("template_error", "bad_request"):
        return Problem(400, error.detail, error.code, prompt_param)
    if error.code == "no_slot":
        return Problem(503, error.detail, error.code, retry_after_seconds=1)
    return Problem(500, error.detail, error.code, retry=False)


def usage(timings: Timings) -> dict[str, Any]:
    prompt_tokens = timings["prompt_n"] + timings["cache_n"]
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": timings["predicted_n"],
        "total_tokens": prompt_tokens + timings["predicted_n"],
        "prompt_tokens_details": {"cached_tokens": timings["cache_n"]},
    }


@dataclass(frozen=True, slots=True)
class Reply:
    """Words one answer, whole or in chunks. Reasoning goes where llama-server puts it: `reasoning_content`."""

    request_id: str
    model: str
    chat: bool
    include_usage: bool
    created: int = field(default_factory=lambda: int(time.time()))

    def _frame(self, *, chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if chunk else "chat.completion") if self.chat else "text_completion"
        return {
            "id": ("chatcmpl-" if self.chat else "cmpl-") + self.request_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def _chunk(self, said: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        body = {"delta": said} if self.chat else {"text": said.get("content", "")}
        choice = {"index": 0, **body, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._frame(chunk=True), "choices": [choice]}
        return {**chunk, "usage": None} if self.include_usage else chunk

    def opening(self) -> list[dict[str, Any]]:
        return [self._chunk({"role": "assistant", "content": ""})] if self.chat else []

    def token(self, event: Token) -> dict[str, Any]:
        name = "reasoning_content" if event["reasoning"] and self.chat else "content"
        return self._chunk({name: event["text"]})

    def closing(self, event: Done) -> list[dict[str, Any]]:
        last = {**self._chunk({}, event["reason"]), "timings": event["timings"]}
        if not self.include_usage:
            return [last]
        return [last, {**self._frame(chunk=True), "choices": [], "usage": usage(event["timings"])}]

    def whole(self, content: str, reasoning: str, event: Done) -> dict[str, Any]:
        if self.chat:
            message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
            if reasoning:
                message["reasoning_content"] = reasoning
            body: dict[str, Any] = {"message": message}
        else:
            body = {"text": reasoning + content}
        return {
            **self._frame(chunk=False),
            "choices": [{"index": 0, **body, "logprobs": None, "finish_reason": event["reason"]}],
            "usage": usage(event["timings"]),
            "timings": event["timings"],
        }
