"""Pieces of the kind `measure`: whom a variant is compared with, and how a job follows what it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import InQueue, Reason
from inference.core.scheduling.refusals import DoesNotFit
from inference.host.api import wire
from inference.jobs import register_kinds
from inference.jobs.measure import best_sibling
from inference.jobs.stages import lease_stage, wait_of
from inference.jobs.ticking import ticking
from models_app import jobs
from models_app.jobs.mentions import mentions_of
from models_app.jobs.runner import Runner
from models_app.models import Job, Repository, Shard, Variant
from tests.web.fake_host import queued, refused


@pytest.fixture
def family(db: None) -> dict[str, Variant]:
    folder = Repository.objects.create(name="/models", kind="folder")
    return {
        name: Variant.objects.create(
            repository=folder, name=name, architecture="llama", n_params=7, quantization=name.rpartition("-")[2]
        )
        for name in ("m-Q2_K", "m-Q8_0", "m-Q4_K_M", "m-F16", "other-F32")
    }


def test_the_reference_is_the_sibling_that_lost_least(family: dict[str, Variant]) -> None:
    for name in ("m-Q2_K", "m-Q4_K_M", "m-Q8_0"):
        assert best_sibling(family[name]) == family["m-F16"]
    assert best_sibling(family["m-F16"]) is None
    assert best_sibling(family["other-F32"]) is None


def test_a_sibling_that_cannot_run_is_no_reference(family: dict[str, Variant]) -> None:
    Variant.objects.filter(pk=family["m-F16"].pk).update(problem="it is cut short")
    assert best_sibling(family["m-Q2_K"]) == family["m-Q8_0"]


def test_a_host_that_is_away_is_waited_for(family: dict[str, Variant], settings: Any, tmp_path: Path) -> None:
    register_kinds()
    settings.MODELS_DIR = tmp_path / "models"
    settings.HOST_SOCKET = str(tmp_path / "nobody.sock")
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    job = jobs.start("measure", {"variant_id": family["m-F16"].pk}, "A test")
    Runner("box", send=lambda _: None).work(job.pk)
    job.refresh_from_db()
    assert (job.state, job.reason) == (
        Job.State.WAITING,
        "The model host does not answer. It goes on when it does.",
    )
    assert list((tmp_path / "models" / ".measuring").iterdir()) == []


class RefusingHost:
    """Has whoever asks for a lease wait for a moment, then refuses it."""

    def __init__(self, path: str, *told: dict[str, Any]) -> None:
        self._path, self._told = path, told
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> RefusingHost:
        self._thread.start()
        self._is_up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    async def _serve(self) -> None:
        answered = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            for each in self._told:
                writer.write(wire.encode(each))
            await reader.read()
            writer.close()
            answered.set()

        async with await asyncio.start_unix_server(answer, self._path):
            self._is_up.set()
            await answered.wait()


@pytest.mark.parametrize("kind", ["measure", "imatrix"])
def test_a_wait_and_a_refusal_are_kept_as_facts_about_whom_they_name(
    family: dict[str, Variant], settings: Any, tmp_path: Path, kind: str
) -> None:
    register_kinds()
    settings.MODELS_DIR = tmp_path / "models"
    settings.HOST_SOCKET = str(tmp_path / "host.sock")
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    variant, other, pinned = family["m-F16"], family["other-F32"], family["m-Q2_K"]
    (tmp_path / "m.gguf").write_bytes(b"x")
    Shard.objects.create(variant=variant, path=str(tmp_path / "m.gguf"), size_bytes=1)
    wait = queued(1, Reason("room", (ResidentId(other.pk),)))
    no = refused(DoesNotFit("ram", 2 << 30, 4 << 30, (ResidentId(pinned.pk),), 3 << 30, device_name="RAM"))
    spec = {"variant_id": variant.pk, "name": variant.name, "text": None}
    job = jobs.start(kind, spec, "A test", variant=variant)
    with RefusingHost(settings.HOST_SOCKET, wait, no):
        Runner("box", send=lambda _: None).work(job.pk)
    job.refresh_from_db()
    assert (job.state, job.stage) == (Job.State.FAILED, "Waiting")
    assert "there m-Q2_K keeps 3 GiB pinned" in job.reason
    mentions = mentions_of(job)
    assert (mentions.title, mentions.others) == ((variant.pk,), (pinned.pk,))
    stage = lease_stage(mentions.stage)
    assert stage is not None
    assert stage["variant"] == {"variant_id": variant.pk, "name": variant.name}
    assert wait_of(stage) == InQueue(1, Reason("room", (ResidentId(other.pk),)))


def test_silence_is_heard_and_nothing_is_lost() -> None:
    go = asyncio.Event()

    async def events() -> AsyncGenerator[int, None]:
        yield 1
        await go.wait()
        yield 2

    heard = ticking(events(), tick_seconds=0.01)
    assert next(heard) == 1
    assert next(heard) is None
    go.set()
    assert [event for event in heard if event is not None] == [2]


def test_whoever_stops_listening_ends_what_was_listened_to() -> None:
    ended = []

    async def events() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    heard = ticking(events(), tick_seconds=0.01)
    assert [next(heard), next(heard)] == [1, None]
    heard.close()  # type: ignore[attr-defined]
    assert ended == [True]


def test_what_goes_wrong_is_raised_where_it_is_listened_to() -> None:
    async def events() -> AsyncGenerator[int, None]:
        yield 1
        raise LookupError("gone")

    heard = ticking(events())
    assert next(heard) == 1
    with pytest.raises(LookupError, match="gone"):
        next(heard)
