"""/v1 for programs that speak to OpenAI: bearer keys, which hostui.accounts checks, JSON errors, and streams of server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from inference.answering.answer import answer
from inference.answering.owner import Requester
from inference.answering.patience import NO_PATIENCE
from inference.answering.refusals import RefusedByHost
from inference.answering.request import AnswerRequest
from inference.answering.timed_events import TimedEvents
from inference.host.api.client import HostClient
from inference.web.crossing.database_thread import StorageFailed
from inference.web.v1.reply import NO_KEY, Problem, Reply, cannot_run, no_such_model, problem_of
from inference.web.v1.request import BadRequest, parse
from inference.web.visibility.offered import OfferedVariant, offered_to
from inference.web.visibility.queries import visibility_of
from inference.web.visibility.signed_in import user_id_of
from inference.web.visibility.visibility import NOTHING

logger = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
"""A stream's status line waits this long for a verdict, so that a refusal has its own status; later ones come as events."""
KEEP_ALIVE_SECONDS = 10.0
"""Proxies and clients give up on a connection that is silent for long; a comment is noise that no client minds."""

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def _refuse(problem: Problem) -> JsonResponse:
    return JsonResponse(problem.body(), status=problem.status, headers=problem.headers())


def _storage(failed: StorageFailed) -> Problem:
    return Problem(503, failed.detail, "storage", retry=False)


def _endpoint(method: str | None) -> Callable[[View], View]:
    """For programs: no login page, no CSRF token; a session's cookie opens nothing, so no page can act through it.

    `method` None: all are alike.
    """

    def decorate(view: View) -> View:
        @csrf_exempt
        @login_not_required
        @wraps(view)
        async def checked(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if not getattr(request, "api_key", None):
                return _refuse(NO_KEY)
            if method is not None and request.method != method:
                problem = Problem(405, f"{request.path} takes {method} requests.", "method_not_allowed")
                return JsonResponse(problem.body(), status=405, headers={"Allow": method})
            try:
                return await view(request, **kwargs)
            except BadRequest as error:
                return _refuse(Problem(400, error.detail, error.code, error.param))
            except StorageFailed as error:
                return _refuse(_storage(error))

        return checked

    return decorate


@_endpoint("GET")
async def models(request: HttpRequest) -> HttpResponseBase:
    """What can be asked; loading is the box's business."""
    offered = await offered_to(await user_id_of(request))
    return JsonResponse({"object": "list", "data": [_model(each) for each in offered if each.unusable_reason is None]})


@_endpoint("GET")
async def model(request: HttpRequest, name: str) -> HttpResponseBase:
    found = await _found(request, name)
    return _refuse(found) if isinstance(found, Problem) else JsonResponse(_model(found))


async def _found(request: HttpRequest, name: str) -> OfferedVariant | Problem:
    """What the key's owner calls so. Raises StorageFailed."""
    found = next((each for each in await offered_to(await user_id_of(request)) if each.name == name), None)
    if found is None:
        return no_such_model(name)
    return found if found.unusable_reason is None else cannot_run(name, found.unusable_reason)


def _model(variant: OfferedVariant) -> dict[str, Any]:
    return {
        "id": variant.name,
        "object": "model",
        "created": int(variant.created_at.timestamp()),
        "owned_by": variant.repository,
    }


@_endpoint("POST")
async def chat_completions(request: HttpRequest) -> HttpResponseBase:
    return await _complete(request, chat=True)


@_endpoint("POST")
async def completions(request: HttpRequest) -> HttpResponseBase:
    return await _complete(request, chat=False)


@_endpoint(None)
async def nowhere(request: HttpRequest, path: str) -> HttpResponseBase:
    """Programs read JSON, also when they go astray."""
    return _refuse(Problem(404, f"There is no /v1/{path} here.", "not_found"))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Whoever reads the answer, as far as words depend on it."""

    user_id: int
    prompt_param: str
    """Where the prompt stands in the request."""

    async def problem(self, error: Exception) -> Problem:
        try:
            # Nobody but the host speaks of variants that were not asked for.
            is_hosts = isinstance(error, RefusedByHost)
            visibility = await visibility_of(self.user_id) if is_hosts else NOTHING
        except StorageFailed as failed:
            return _storage(failed)
        problem = problem_of(error, visibility, self.prompt_param)
        if problem.status >= 500:
            logger.warning("%s: %s", type(error).__name__, error, exc_info=problem.code == "internal")
        return problem


async def _complete(request: HttpRequest, *, chat: bool) -> HttpResponseBase:
    try:
        wanted = parse(request.body, chat=chat)
    except RequestDataTooBig:
        return _refuse(Problem(413, "The body is too large.", "too_large"))
    variant = await _found(request, wanted.model)
    if isinstance(variant, Problem):
        return _refuse(variant)
    request_id = getattr(request, "request_id", None) or uuid.uuid4().hex
    key: Any = getattr(request, "api_key", None)
    requester = Requester(await user_id_of(request), key_id=key.pk)
    events = TimedEvents(
        answer(
            HostClient(settings.HOST_SOCKET),
            AnswerRequest(request_id, "v1", requester, variant.pk, wanted.prompt, NO_PATIENCE),
        )
    )
    reply = Reply(request_id, variant.name, chat, wanted.include_usage)
    reader = _Reader(requester.user_id, "messages" if chat else "prompt")
    try:
        if not wanted.stream:
            return await _whole(events, reply)
        await events.until_taken(HEADER_SECONDS)
    except Exception as error:
        await events.aclose()
        return _refuse(await reader.problem(error))
    except asyncio.CancelledError:
        # The client hung up; its slot goes to the next one now.
        await events.aclose()
        raise
    return StreamingHttpResponse(
        _stream(events, reply, reader),
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _whole(events: TimedEvents, reply: Reply) -> HttpResponseBase:
    content: list[str] = []
    reasoning: list[str] = []
    while True:
        event = await events.next(None)
        assert event is not None
        if event["type"] == "token":
            (reasoning if event["reasoning"] else content).append(event["text"])
        elif event["type"] == "done":
            await events.aclose()
            return JsonResponse(reply.whole("".join(content), "".join(reasoning), event))


async def _stream(events: TimedEvents, reply: Reply, reader: _Reader) -> AsyncIterator[bytes]:
    try:
        for chunk in reply.opening():
            yield _sse(chunk)
        while True:
            event = await events.next(KEEP_ALIVE_SECONDS)
            if event is None:
                yield b": still waiting\n\n"
            elif event["type"] == "token":
                yield _sse(reply.token(event))
            elif event["type"] == "done":
                for chunk in reply.closing(event):
                    yield _sse(chunk)
                break
    except Exception as error:
        yield _sse((await reader.problem(error)).body())
    finally:
        await events.aclose()
    yield b"data: [DONE]\n\n"


def _sse(payload: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
