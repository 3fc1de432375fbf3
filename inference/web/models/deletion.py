"""Deletes a variant that may be in memory: unloads it first, and refuses while somebody uses it. Blocks."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from inference.core.loads.resident_id import ResidentId
from inference.host.api.client import HostRefusal, HostUnavailable
from inference.web.crossing import ask_host
from inference.wording import names, refusals
from models_app.catalog import deletion
from models_app.catalog.deletion import Removal
from models_app.models import Variant

UNLOADS_WITHIN_SECONDS = 30.0


class InUse(Exception):
    """Somebody uses it now. `detail` is a sentence for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def delete_variant(variant: Variant, user_id: int) -> Removal:
    """What was taken away. Nothing is cut: a lease that slips in after the look is waited for, a job must have ended.

    Raises InUse, HostUnavailable (whether it is in use can't be told then), OSError.
    """
    jobs = deletion.removal(variant).jobs
    if jobs:
        titles = ", ".join(f"“{job.title}”" for job in jobs)
        words = ngettext(
            "{variant} is needed by a job that has not ended: {titles}. Cancel it, or wait until it is done.",
            "{variant} is needed by jobs that have not ended: {titles}. Cancel them, or wait until they are done.",
            len(jobs),
        )
        raise InUse(words.format(variant=variant.name, titles=titles))
    is_loaded = _check_idle(variant)
    deletion.withhold(variant)
    if is_loaded:
        try:
            ask_host.call(lambda client: client.unload(variant.pk), UNLOADS_WITHIN_SECONDS)
        except HostRefusal as refusal:
            if refusal.code not in ("unknown_variant", "disabled"):  # those: it has left by itself
                deletion.restore(variant)
                detail = refusals.sentence(refusal.facts, ResidentId(variant.pk), lambda _id: variant.name)
                raise InUse(detail) from None
        except HostUnavailable:
            deletion.restore(variant)
            raise
    return deletion.delete(variant, user_id)


def _check_idle(variant: Variant) -> bool:
    """Whether it is in memory. Raises InUse, HostUnavailable."""
    status = ask_host.call(lambda client: client.status())
    own = [each for each in status["residents"] if each["variant_id"] == variant.pk]
    n_leases, n_queued = sum(each["leases"] for each in own), sum(each["queued"] for each in own)
    if n_leases or n_queued:
        raise InUse(_in_use(variant.name, n_leases, n_queued))
    return any(each["purpose"] == "chat" and each["state"] not in ("absent", "failed") for each in own)


def _in_use(name: str, n_leases: int, n_queued: int) -> str:
    said = []
    if n_leases:
        running = ngettext("{n} request is running on it", "{n} requests are running on it", n_leases)
        said.append(running.format(n=n_leases))
    if n_queued:
        said.append(ngettext("{n} waits for it", "{n} wait for it", n_queued).format(n=n_queued))
    return _(
        "{variant} is in use: {how}. Try again when nobody uses it, or disable it first so that nobody new does."
    ).format(variant=name, how=names.listed(said))
