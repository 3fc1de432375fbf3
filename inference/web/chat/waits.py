"""What an answer waits for, and why it failed, as the person at the page may read it. The chat's only reader of host and worker."""

from __future__ import annotations

from inference.answering.events import VariantReady, Wait
from inference.answering.refusals import (
    HostStayedAway,
    NoChatTemplate,
    Refusal,
    RefusedByHost,
    RefusedByWorker,
    WorkerGone,
)
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.refusals import mentioned
from inference.engine.protocol import Prefill
from inference.host.api.client import WorkerRefusal
from inference.models import Message
from inference.web.chat.protocol import WaitView
from inference.web.chat.store import Ending
from inference.web.visibility.visibility import Visibility
from inference.wording import refusals, waits
from inference.wording.translation import gettext as _


def named_in(event: Wait | VariantReady | Prefill) -> tuple[ResidentId, ...]:
    """Ids of the residents that words about the event name."""
    match event["type"]:
        case "queued":
            return event["reason"].variants
        case "evicting":
            return tuple(event["variants"])
    return ()


def named_by(refusal: Refusal) -> tuple[ResidentId, ...]:
    """Ids of the residents that words about the refusal name, besides the one that was asked for."""
    return mentioned(refusal.refusal.facts) if isinstance(refusal, RefusedByHost) else ()


def wait_view(event: Wait | VariantReady | Prefill, visibility: Visibility) -> WaitView:
    match event["type"]:
        case "host_absent":
            return {"stage": "host_down"}
        case "queued":
            return {
                "stage": "queued",
                "position": event["position"],
                "reason": waits.sentence(event["reason"], event["position"], visibility.name),
            }
        case "evicting":
            return {"stage": "evicting", "variants": [visibility.name(each) for each in event["variants"]]}
        case "loading":
            return {"stage": "loading", "fraction": event["fraction"]}
        case "variant_ready":
            return {"stage": "prefill"}
        case "prefill":
            is_read = event["done"] >= event["total"]
            return {"stage": "generating" if is_read else "prefill", "done": event["done"], "total": event["total"]}


def failure(refusal: Refusal, visibility: Visibility) -> Ending:
    match refusal:
        case RefusedByHost():
            return failed(
                refusal.refusal.code,
                refusals.sentence(refusal.refusal.facts, refusal.refusal.resident_id, visibility.name),
            )
        case RefusedByWorker():
            return failed(refusal.refusal.code, _refused(refusal.refusal))
        case WorkerGone():
            return failed(
                "worker_lost",
                _(
                    "The process that ran this model ended in the middle of the answer. What it had said is kept; "
                    "Retry asks again."
                ),
            )
        case HostStayedAway():
            return failed(
                "host_unavailable",
                _(
                    "The host, which runs the models, did not answer for {seconds} seconds. "
                    "Retry asks again; the box's log says why it is down."
                ).format(seconds=f"{refusal.waited_seconds:g}"),
            )
        case NoChatTemplate():
            return failed("bad_request", _("This model has no chat template: it only goes on with a text."))
    raise AssertionError(f"an unknown refusal: {refusal!r}")


def failed(code: str, detail: str) -> Ending:
    return Ending(Message.State.FAILED, error_code=code, error_detail=detail)


def _refused(error: WorkerRefusal) -> str:
    """A worker says facts and phrases, which programs get as they are; people get sentences."""
    if error.code == "context_exceeded":
        n_prompt, n_ctx_seq = error.facts.get("n_prompt"), error.facts.get("n_ctx_seq")
        return _(
            "This conversation has {n_prompt} tokens, and this model's context holds {n_ctx_seq}. "
            "Shorten the message, start a new chat, or have the model's context made longer."
        ).format(n_prompt=n_prompt, n_ctx_seq=n_ctx_seq)
    return f"{error.detail[:1].upper()}{error.detail[1:].removesuffix('.')}."
