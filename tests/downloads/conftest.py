"""A box with an empty folder for models, a Hub that has one, and jobs that are run by the test itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.gguf_builder import SHAPES, build
from tests.hub import HubServer
from tests.stack import wait_for

if TYPE_CHECKING:
    from models_app.models import Job, Variant

NAME = "owner/tiny-GGUF"
MIB = 1 << 20


@dataclass(slots=True)
class Box:
    hub: HubServer
    folder: Path
    """Where models come to lie."""
    remote: Path
    """Where the Hub's files lie."""
    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=timezone.utc))

    def offer(self, split: int = 1, pad_bytes: int = 2 * MIB, name: str = NAME) -> list[Path]:
        """A model on the Hub, its files with so many bytes more than they need, each another one."""
        first = build(self.remote / "tiny-Q4_0.gguf", SHAPES["tiny-gqa"], body="random", split=split)
        files = sorted(first.parent.glob("*.gguf")) if split > 1 else [first]
        for number, path in enumerate(files):
            with path.open("ab") as file:
                file.write(bytes((n * 7 + n // 256 + number) % 256 for n in range(pad_bytes)))
        self.hub.add(name, {path.name: path for path in files})
        return files

    def start(self, name: str = "tiny", repository: str = NAME, user: Any = None) -> Job:
        from models_app.hub import hub
        from models_app.intake.start_download import start_download

        found = hub().repository(repository)
        files = sorted((file for file in found.files if file.path.endswith(".gguf")), key=lambda file: file.path)
        return start_download(repository, found.revision, name, files, user)

    def run(self, job: Job) -> Job:
        """One attempt, by a jobs process of its own."""
        from models_app.jobs.runner import Runner

        Runner("box", now=lambda: self.now, send=lambda _: None).work(job.pk)
        job.refresh_from_db()
        return job

    def run_beside(self, job: Job) -> threading.Thread:
        """One attempt in another thread. Join it."""
        from django.db import connection

        def work() -> None:
            try:
                self.run(job)
            finally:
                connection.close()

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def files(self) -> list[str]:
        """What lies in the folder for models."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def part(self, name: str = "tiny.gguf") -> Path:
        return self.folder / f"{name}.part"

    def wait_until_part_has(self, n_bytes: int, name: str = "tiny.gguf") -> None:
        part = self.part(name)
        wait_for(lambda: part.exists() and part.stat().st_size >= n_bytes, f"{n_bytes} bytes of {part.name}")

    def ranges(self) -> list[str | None]:
        """What was asked for of the bytes of files, in order."""
        return [seen.range for seen in self.hub.seen("cdn")]

    def assert_whole(self, job: Job, sources: list[Path]) -> Variant:
        """The job is done, its files are the Hub's byte for byte, nothing else lies about."""
        from models_app.models import Job, Variant

        assert (job.state, job.reason) == (Job.State.DONE, "")
        assert job.variant_id is not None
        variant = Variant.objects.get(pk=job.variant_id)
        paths = [Path(shard.path) for shard in variant.shards.order_by("number")]
        assert [path.read_bytes() for path in paths] == [source.read_bytes() for source in sources]
        assert self.files() == sorted(path.name for path in paths)
        assert variant.is_usable
        return variant


@pytest.fixture
def box(hub: HubServer, tmp_path: Path, settings: Any, transactional_db: None) -> Iterator[Box]:
    from huggingface_hub.utils import close_session

    settings.HUB_ENDPOINT = hub.endpoint
    settings.HUB_TOKEN = None
    settings.MODELS_DIR = tmp_path / "models"
    settings.DISK_RESERVE_BYTES = 0
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    (tmp_path / "remote").mkdir()
    yield Box(hub, tmp_path / "models", tmp_path / "remote")
    hub.faults.clear()
    close_session()
