"""/v1 for programs that speak to OpenAI: bearer keys, which hostui.accounts checks, JSON errors, and streams of server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

from inference.engine.protocol import Done, Prefill, Token
from inference.host.api.client import HostRefusal, WorkerRefusal
from inference.host.api.messages import Evicting, LeaseLoading, Queued
from inference.web.chat import store
from inference.web.chat.rows import OfferedVariant
from inference.web.chat.turns import turns
from inference.web.crossing.database_thread import StorageFailed
from inference.web.v1.reply import NO_KEY, Problem, Reply, cannot_run, no_such_model, problem_of
from inference.web.v1.request import Asked, BadRequest, parse
from inference.web.visibility.visibility import discretion_towards

logger = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
"""A stream's status line waits this long for a verdict, so that a refusal has its own status; later ones come as events."""
KEEP_ALIVE_SECONDS = 10.0
"""Proxies and clients give up on a connection that is silent for long; a comment is noise that no client minds."""

Event = Queued | Evicting | LeaseLoading | Prefill | Token | Done
View = Callable[..., Awaitable[HttpResponseBase]]


def _refuse(problem: Problem) -> JsonResponse:
    return JsonResponse(problem.body(), status=problem.status, headers=problem.headers())


def _endpoint(method: str | None) -> Callable[[View], View]:
    """For programs: no login page, no CSRF token; a session's cookie opens nothing, so no page can act through it.

    `method` None: all are alike.
    """

    def decorate(view: View) -> View:
        @csrf_exempt
        @login_not_required
        @wraps(view)
        async def answer(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
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
                return _refuse(Problem(503, error.detail, "storage", retry=False))

        return answer

    return decorate


@_endpoint("GET")
async def models(request: HttpRequest) -> HttpResponseBase:
    """What can be asked; loading is the box's business."""
    offered = await _offered(request)
    return JsonResponse({"object": "list", "data": [_model(each) for each in offered if each.trouble is None]})


@_endpoint("GET")
async def model(request: HttpRequest, name: str) -> HttpResponseBase:
    found = await _found(request, name)
    return _refuse(found) if isinstance(found, Problem) else JsonResponse(_model(found))


async def _offered(request: HttpRequest) -> list[OfferedVariant]:
    """To the key's owner. Raises StorageFailed."""
    offered = await store.offered_variants()
    if not any(each.kept_for for each in offered):
        return offered
    access = await store.access_of((await request.auser()).pk)
    return [each for each in offered if access.allows(each.kept_for)]


async def _found(request: HttpRequest, name: str) -> OfferedVariant | Problem:
    found = next((each for each in await _offered(request) if each.name == name), None)
    if found is None:
        return no_such_model(name)
    return found if found.trouble is None else cannot_run(name, found.trouble)


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


async def _complete(request: HttpRequest, *, chat: bool) -> HttpResponseBase:
    try:
        asked = parse(request.body, chat=chat)
    except RequestDataTooBig:
        return _refuse(Problem(413, "The body is too large.", "too_large"))
    variant = await _found(request, asked.model)
    if isinstance(variant, Problem):
        return _refuse(variant)
    request_id = getattr(request, "request_id", None) or uuid.uuid4().hex
    user = await request.auser()
    answer = Answer(_events(asked, variant.pk, user.pk, request_id))
    reply = Reply(request_id, variant.name, chat, asked.include_usage)
    prompt_param = "messages" if chat else "prompt"
    try:
        if not asked.stream:
            return await _whole(answer, reply)
        await answer.verdict(HEADER_SECONDS)
    except Exception as error:
        await answer.aclose()
        return _refuse(_problem(error, prompt_param))
    except asyncio.CancelledError:
        # The client hung up; its slot goes to the next one now.
        await answer.aclose()
        raise
    return StreamingHttpResponse(
        _stream(answer, reply, prompt_param),
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(asked: Asked, variant_id: int, user_id: int, request_id: str) -> AsyncIterator[Event]:
    """Everything that happens to one request, from the queue to `done`. Raises what the host's client raises."""
    lease_of = turns().client.lease(variant_id=variant_id, user=str(user_id), request_id=request_id)
    try:
        async with lease_of as lease:
            async for waiting in lease.waiting():
                yield waiting
            assert lease.ready is not None
            if asked.messages is not None and lease.ready["mode"] != "chat":
                detail = "This model has no chat template; use /v1/completions."
                raise WorkerRefusal("bad_request", detail, {})
            answer = lease.generate(
                request_id=request_id,
                owner=f"user:{user_id}",
                options=asked.options,
                messages=asked.messages,
                prompt=asked.prompt,
            )
            async with aclosing(answer) as events:
                async for event in events:
                    yield event
    except HostRefusal as refusal:
        detail = (await discretion_towards(user_id)).sentence(refusal.detail)
        raise HostRefusal(refusal.code, detail, refusal.facts) from None


class Answer:
    """Reads the events of one request with time-outs that leave the request alone.

    Closing it gives slot and lease back at once.
    """

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self._next: asyncio.Task[Event] | None = None

    async def next(self, timeout_seconds: float | None) -> Event | None:
        """The next event; None where none came in time. Raises what the request raises."""
        if self._next is None:
            self._next = asyncio.create_task(_step(self._events))
        done, _pending = await asyncio.wait({self._next}, timeout=timeout_seconds)
        if not done:
            return None
        task, self._next = self._next, None
        return task.result()

    async def verdict(self, patience_seconds: float) -> None:
        """Returns when the worker has taken the request, or after the time. Raises where it is refused before."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_seconds
        while (left_seconds := deadline - loop.time()) > 0:
            event = await self.next(left_seconds)
            if event is not None and event["type"] in ("prefill", "token", "done"):
                self._next = _kept(event)
                return

    async def aclose(self) -> None:
        if self._next is not None:
            self._next.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._next
            self._next = None
        await self._events.aclose()  # type: ignore[attr-defined]


async def _step(events: AsyncIterator[Event]) -> Event:
    return await events.__anext__()


def _kept(event: Event) -> Any:
    """An event that was read already, to be read again."""
    kept: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
    kept.set_result(event)
    return kept


async def _whole(answer: Answer, reply: Reply) -> HttpResponseBase:
    content: list[str] = []
    reasoning: list[str] = []
    while True:
        event = await answer.next(None)
        assert event is not None
        if event["type"] == "token":
            (reasoning if event["reasoning"] else content).append(event["text"])
        elif event["type"] == "done":
            await answer.aclose()
            return JsonResponse(reply.whole("".join(content), "".join(reasoning), event))


async def _stream(answer: Answer, reply: Reply, prompt_param: str) -> AsyncIterator[bytes]:
    try:
        for chunk in reply.opening():
            yield _sse(chunk)
        while True:
            event = await answer.next(KEEP_ALIVE_SECONDS)
            if event is None:
                yield b": still waiting\n\n"
            elif event["type"] == "token":
                yield _sse(reply.token(event))
            elif event["type"] == "done":
                for chunk in reply.closing(event):
                    yield _sse(chunk)
                break
    except Exception as error:
        yield _sse(_problem(error, prompt_param).body())
    finally:
        await answer.aclose()
    yield b"data: [DONE]\n\n"


def _problem(error: Exception, prompt_param: str) -> Problem:
    problem = problem_of(error, prompt_param)
    if problem.status >= 500:
        logger.warning("%s: %s", type(error).__name__, error, exc_info=problem.code == "internal")
    return problem


def _sse(payload: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
