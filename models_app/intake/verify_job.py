"""Whether a variant's files still are what they were."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from models_app import jobs
from models_app.audit import CHANGE, record
from models_app.intake.part import digest_of
from models_app.jobs import Attempt, JobFailed
from models_app.models import Job, Shard, Variant


def start_verify(variant: Variant, user: User | None = None) -> Job:
    """Asked again while it is under way, returns that job."""
    return jobs.start_once("verify", {"variant": variant.pk}, f"Verify {variant.name}", user, variant)[0]


def run(attempt: Attempt) -> None:
    """The kind `verify`: hashes every file. A file that never had a digest gets one, and is compared from then on."""
    variant = Variant.objects.filter(pk=attempt.spec["variant"]).first()
    if variant is None:
        raise JobFailed("The variant is no longer in the inventory.")
    shards = list(variant.shards.all())
    total = sum(shard.size_bytes for shard in shards)
    was_other = any(shard.other_sha256 for shard in shards)
    others: list[str] = []
    before_bytes = 0
    for shard in shards:
        path = Path(shard.path)

        def tell(done_bytes: int, before_bytes: int = before_bytes, name: str = path.name) -> None:
            attempt.progress(before_bytes + done_bytes, total, f"Reading {name}")

        try:
            sha256 = digest_of(path, tell)
        except OSError as error:
            raise JobFailed(f"{path} could not be read: {error.strerror or error}.") from None
        if not _matches(shard, sha256):
            others.append(path.name)
            attempt.line(f"{path}: its SHA-256 is {sha256}, and was {shard.sha256}.", "error")
        before_bytes += shard.size_bytes
    if others:
        problem = f"{', '.join(others)} no longer has the digest it had: it is damaged or was replaced"
        with transaction.atomic():
            Variant.objects.filter(pk=variant.pk).update(problem=problem)
            record([variant], None, CHANGE, f"Found by a verification: {problem}.")
        raise JobFailed(f"{problem}. Delete the variant and bring it here again; until then it is not offered.")
    if was_other:
        with transaction.atomic():
            Variant.objects.filter(pk=variant.pk).update(problem="")
            record([variant], None, CHANGE, "Found by a verification: its files are whole again.")


def _matches(shard: Shard, sha256: str) -> bool:
    """Stores what was found."""
    rows = Shard.objects.filter(pk=shard.pk)
    if shard.sha256 and shard.sha256 != sha256:
        rows.update(other_sha256=sha256)
        return False
    rows.update(sha256=sha256, other_sha256="", verified_at=timezone.now())
    return True
