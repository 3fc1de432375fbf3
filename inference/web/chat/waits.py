"""What an answer waits for, and why it failed, as the person at the page may read it. The chat's only reader of host and worker."""

from __future__ import annotations

from collections.abc import Sequence

from inference.answering.events import VariantReady, Wait
from inference.answering.refusals import (
    HostStayedAway,
    NoChatTemplate,
    Refusal,
    RefusedByHost,
    RefusedByWorker,
    WorkerGone,
)
from inference.engine.protocol import Prefill
from inference.host.api.client import WorkerRefusal
from inference.host.api.messages import Mention
from inference.models import Message
from inference.web.chat.protocol import WaitView
from inference.web.chat.store import Ending
from inference.web.visibility.redaction import Discretion


def mentions_of(told: Wait | VariantReady | Prefill | Refusal) -> Sequence[Mention]:
    """Whom it names."""
    if isinstance(told, RefusedByHost):
        return told.refusal.mentions
    if isinstance(told, Refusal):
        return ()
    return told["mentions"] if told["type"] in ("queued", "evicting") else ()


def wait_view(event: Wait | VariantReady | Prefill, discretion: Discretion) -> WaitView:
    match event["type"]:
        case "host_absent":
            return {"stage": "host_down"}
        case "queued":
            return {
                "stage": "queued",
                "position": event["position"],
                "reason": discretion.sentence(event["reason"], event["mentions"]),
            }
        case "evicting":
            names = [discretion.instead(each["variant_id"]) or each["name"] for each in event["mentions"]]
            return {"stage": "evicting", "variants": names}
        case "loading":
            return {"stage": "loading", "fraction": event["fraction"]}
        case "variant_ready":
            return {"stage": "prefill"}
        case "prefill":
            is_read = event["done"] >= event["total"]
            return {"stage": "generating" if is_read else "prefill", "done": event["done"], "total": event["total"]}


def failure(refusal: Refusal, discretion: Discretion) -> Ending:
    match refusal:
        case RefusedByHost():
            return failed(refusal.refusal.code, discretion.sentence(refusal.refusal.detail, refusal.refusal.mentions))
        case RefusedByWorker():
            return failed(refusal.refusal.code, _refused(refusal.refusal))
        case WorkerGone():
            return failed(
                "worker_lost",
                "The process that ran this model ended in the middle of the answer. What it had said is kept; Retry asks again.",
            )
        case HostStayedAway():
            return failed(
                "host_unavailable",
                f"The host, which runs the models, did not answer for {refusal.waited_seconds:g} seconds. "
                "Retry asks again; the box's log says why it is down.",
            )
        case NoChatTemplate():
            return failed("bad_request", "This model has no chat template: it only goes on with a text.")
    raise AssertionError(f"an unknown refusal: {refusal!r}")


def failed(code: str, detail: str) -> Ending:
    return Ending(Message.State.FAILED, error_code=code, error_detail=detail)


def _refused(error: WorkerRefusal) -> str:
    """A worker says facts and phrases, which programs get as they are; people get sentences."""
    if error.code == "context_exceeded":
        n_prompt, n_ctx_seq = error.facts.get("n_prompt"), error.facts.get("n_ctx_seq")
        return (
            f"This conversation has {n_prompt} tokens, and this model's context holds {n_ctx_seq}. "
            "Shorten the message, start a new chat, or have the model's context made longer."
        )
    return f"{error.detail[:1].upper()}{error.detail[1:].removesuffix('.')}."
