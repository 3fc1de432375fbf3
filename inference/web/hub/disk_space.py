"""Room on the disk for what is still on the Hub. Blocks on the disk and the database."""

from __future__ import annotations

from django.conf import settings

from models_app.hub.names import Contents
from models_app.intake.space import DiskSpace, free_bytes
from models_app.models import Job


def free_bytes_for_models() -> int:
    """Bytes for models that are still to come, without what other downloads have yet to bring and what has to stay free."""
    folder = settings.MODELS_DIR
    free = free_bytes(next(each for each in (folder, *folder.parents) if each.exists())) - settings.DISK_RESERVE_BYTES
    for total, done in Job.objects.filter(kind="download", state__in=Job.ACTIVE).values_list("total", "done"):
        free -= max(0, (total or 0) - done)
    return max(0, int(free))


def rooms(parts: Contents) -> dict[str, DiskSpace]:
    """By key."""
    free = free_bytes_for_models()
    return {each.key: DiskSpace(free, each.size_bytes, 0) for each in parts.variants}
