"""What people ask for, made into jobs."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User

from models_app import jobs
from models_app.hub.names import RemoteFile
from models_app.intake.names import giving_names
from models_app.intake.spec import DownloadSpec
from models_app.models import Job, Variant


class NoDigest(ValueError):
    """The Hub's record has no SHA-256 of a file, so that nobody could tell whether it came whole."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the Hub has no digest of {path}")
        self.path = path


class AlreadyInInventory(ValueError):
    """The same files are in the inventory already, as `variant`."""

    def __init__(self, variant: Variant) -> None:
        super().__init__(f"it is here already, as {variant.name}")
        self.variant = variant


def start_download(
    repository: str, revision: str, name: str, files: Sequence[RemoteFile], user: User | None = None
) -> Job:
    """Starts the job that downloads one variant.

    `files` are in the order of its shards, as the Hub's record has them at that commit. `name` is changed where it is taken.

    Asked again while the same files are on their way, returns that job; one that failed is tried again, from where it was.
    Raises NoDigest, AlreadyInInventory, and ValidationError for an unfit `name`.
    """
    for file in files:
        if not file.sha256:
            raise NoDigest(file.path)
    with giving_names() as names:
        known = Job.objects.filter(
            kind="download", state__in=(*Job.ACTIVE, Job.State.FAILED), spec__repository=repository
        )
        for job in known:
            if DownloadSpec.from_json(job.spec).files == tuple(files):
                jobs.retry(job, user)
                return job
        if (here := _already_here(files)) is not None:
            raise AlreadyInInventory(here)
        spec = DownloadSpec(repository, revision, names.take(name, len(files)), tuple(files))
        title = f"Download {spec.name} from {repository}"
        return jobs.start("download", spec.to_json(), title, user, total=spec.total_bytes)


def _already_here(files: Sequence[RemoteFile]) -> Variant | None:
    digests = [file.sha256 for file in files]
    for variant in Variant.objects.filter(shards__sha256=digests[0], missing_since=None).distinct():
        if list(variant.shards.order_by("number").values_list("sha256", flat=True)) == digests:
            return variant
    return None
