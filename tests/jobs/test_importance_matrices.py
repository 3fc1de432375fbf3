"""The kind `imatrix`: parts of a text, a lease for each, and what an attempt that was cut off leaves to the next."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.core.scheduling.reasons import Reason
from inference.engine import protocol
from inference.engine.imatrix.file import encoded
from inference.host.api import wire
from inference.jobs import register_kinds
from models_app import jobs
from models_app.gguf import read_files
from models_app.jobs.runner import Runner
from models_app.models import Job, Repository, Shard, Variant
from tests.web.fake_host import queued

TOTAL = 3
AWAY = "The model host does not answer. It goes on when it does."


class ReadingBox:
    """A host with one worker that reads, in a thread of its own. `plan`: for each request how many chunks of it are read and
    written; None: the worker dies after one."""

    def __init__(self, folder: Path, plan: list[int | None]) -> None:
        self.host, self.worker = str(folder / "host.sock"), str(folder / "worker.sock")
        self.asked: list[dict[str, Any]] = []
        self.leases: list[dict[str, Any]] = []
        self.n_kept = 0
        """Leases that were asked for while another one was held."""
        self._plan = plan
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> ReadingBox:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over, self._slot = asyncio.Event(), asyncio.Lock()
        limit = protocol.LONGEST_LINE_BYTES
        servers = [
            await asyncio.start_unix_server(self._lease, self.host, limit=limit),
            await asyncio.start_unix_server(self._read, self.worker, limit=limit),
        ]
        self._ready.set()
        await self._over.wait()
        for server in servers:
            server.close()
        # The job has closed its connections: whoever still serves one is about to see that.
        if serving := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(serving)

    async def _lease(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await protocol.read(reader)
        assert request is not None
        self.leases.append(request)
        if self._slot.locked():
            self.n_kept += 1
            writer.write(wire.encode(queued(1, Reason("slots"))))
        async with self._slot:
            ready = {"type": "ready", "lease_id": "l", "socket": self.worker, "mode": "completion", "n_ctx_seq": 512}
            writer.write(protocol.encode(ready))
            await reader.read()
        writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await protocol.read(reader)
        if request is not None:
            self.asked.append(request)
            with suppress(ConnectionError):
                await self._answer(request, writer)
        writer.close()

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        n_chunks = self._plan.pop(0)
        first = request["first_chunk"]
        for done in range(first + 1, first + 1 + (n_chunks or 1)):
            writer.write(protocol.encode({"type": "chunk", "done": done, "total": TOTAL}))
        if n_chunks is not None:
            Path(request["path"]).write_bytes(matrix(first + n_chunks))  # noqa: ASYNC240
            writer.write(protocol.encode({"type": "made", "n_chunks": first + n_chunks, "seconds": 0.1}))
        await writer.drain()


def matrix(n_chunks: int) -> bytes:
    ones = {"blk.0.attn_q.weight": np.ones((1, 4), dtype=np.float32)}
    counts = {"blk.0.attn_q.weight": np.full(1, 512 * n_chunks, dtype=np.float32)}
    return encoded(ones, counts, "words.txt", n_chunks, 512)


@pytest.fixture
def variant(db: None, settings: Any, tmp_path: Path) -> Variant:
    register_kinds()
    settings.MODELS_DIR = tmp_path / "models"
    settings.HOST_SOCKET = str(tmp_path / "host.sock")
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    file = tmp_path / "m.gguf"
    file.write_bytes(b"x")
    folder = Repository.objects.create(name=str(tmp_path), kind="folder")
    variant = Variant.objects.create(repository=folder, name="m-Q8_0", quantization="Q8_0")
    Shard.objects.create(variant=variant, path=str(file), size_bytes=1)
    return variant


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("some words")
    return path


def begin(variant: Variant, text: Path) -> Job:
    return jobs.start("imatrix", {"variant_id": variant.pk, "name": variant.name, "text": str(text)}, "A test")


def attempt(job: Job) -> tuple[str, str]:
    """State and reason after one more."""
    Job.objects.filter(pk=job.pk, state=Job.State.WAITING).update(state=Job.State.QUEUED, run_after=None)
    Runner("box", send=lambda _: None).work(job.pk)
    job.refresh_from_db()
    return job.state, job.reason


@pytest.fixture
def folder(settings: Any, variant: Variant) -> Path:
    return Path(settings.MODELS_DIR) / "imatrix"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_each_part_has_its_lease_and_the_next_one_is_asked_for_before_it_is_given_back(
    variant: Variant, text: Path, folder: Path, tmp_path: Path
) -> None:
    with ReadingBox(tmp_path, [1, 2]) as box:
        job = begin(variant, text)
        assert attempt(job) == ("done", "")
    assert [(each["first_chunk"], each["earlier"] is None) for each in box.asked] == [(0, True), (1, False)]
    assert {each["text"] for each in box.asked} == {"some words"}
    assert [(each["purpose"], each["kind"]) for each in box.leases] == [("imatrix", "batch")] * 2
    assert box.n_kept == 1
    assert names(folder) == {"m-Q8_0.imatrix.gguf"}
    assert read_files(folder / "m-Q8_0.imatrix.gguf").integer("imatrix.chunk_count") == TOTAL
    assert (job.done, job.total) == (TOTAL, TOTAL)


def test_what_was_read_before_a_worker_died_is_not_read_again(
    variant: Variant, text: Path, folder: Path, tmp_path: Path
) -> None:
    with ReadingBox(tmp_path, [1, None, 2]) as box:
        job = begin(variant, text)
        state, reason = attempt(job)
        assert (state, "worker ended in the middle" in reason) == ("waiting", True)
        assert names(folder) == {"m-Q8_0.imatrix.gguf.part"}
        assert attempt(job) == ("done", "")
    assert [each["first_chunk"] for each in box.asked] == [0, 1, 1]
    assert names(folder) == {"m-Q8_0.imatrix.gguf"}


def test_another_text_is_read_from_its_beginning(variant: Variant, text: Path, folder: Path, tmp_path: Path) -> None:
    with ReadingBox(tmp_path, [1, None, 3]) as box:
        job = begin(variant, text)
        attempt(job)
        text.write_text("other words, and more of them")
        assert attempt(job) == ("done", "")
    assert [(each["first_chunk"], each["earlier"]) for each in box.asked[-1:]] == [(0, None)]


def test_a_cancelled_job_leaves_nothing(variant: Variant, text: Path, folder: Path, tmp_path: Path) -> None:
    with ReadingBox(tmp_path, [1, None]):
        job = begin(variant, text)
        attempt(job)
    jobs.cancel(job)
    Runner("box", send=lambda _: None).work(job.pk)
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert names(folder) == set()


def test_a_host_that_is_away_is_waited_for(variant: Variant, text: Path, folder: Path) -> None:
    assert attempt(begin(variant, text)) == ("waiting", AWAY)
    assert names(folder) == set()


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff\xfe" * 400, "words.txt is no text in UTF-8."), (None, "words.txt cannot be read")]
)
def test_a_text_that_will_not_do_gets_a_sentence(
    content: bytes | None, said: str, variant: Variant, text: Path, folder: Path
) -> None:
    text.unlink()
    if content is not None:
        text.write_bytes(content)
    state, reason = attempt(begin(variant, text))
    assert state == "failed"
    assert said in reason
