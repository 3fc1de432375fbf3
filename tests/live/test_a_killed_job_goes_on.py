"""`kill -9` of jobs, web and host, by turns, while real downloads run: they go on, come whole, and the page follows."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from models_app.hub.names import local_name
from tests.gguf_builder import SHAPES, build
from tests.hub import HubServer, Slow
from tests.kills.orders import key_of, press_download
from tests.stack import Stack, csrf_token, running_stack, wait_for

pytestmark = pytest.mark.live

MIB = 1 << 20
BYTES_PER_SECOND = 2 * MIB
ROUNDS = ("jobs", "web", "jobs", "host", "jobs", "web", "jobs")


@pytest.fixture
def box(hub: HubServer, starter_path: Path) -> Iterator[Stack]:
    with running_stack(HF_ENDPOINT=hub.endpoint, HOSTUI_DISK_RESERVE="1MiB") as running:
        yield running


def offer(hub: HubServer, folder: Path) -> dict[str, list[Path]]:
    offered = {}
    for number in range(3):
        first = build(folder / f"model{number}.gguf", SHAPES["tiny-gqa"], body="random", split=1 + number, seed=number)
        files = sorted(first.parent.glob(f"model{number}*.gguf"))
        for path in files:
            with path.open("ab") as file:
                file.write(os.urandom(24 * MIB // len(files)))
        offered[f"owner/model{number}-GGUF"] = files
        hub.add(f"owner/model{number}-GGUF", {path.name: path for path in files})
    return offered


def order_all(client: httpx.Client, box: Stack, hub: HubServer, repositories: Iterable[str]) -> dict[str, str]:
    """Presses each one's button; the names that the variants get."""
    token = csrf_token(client.get("/jobs/").text + client.get("/models/find/").text)
    for repository in repositories:
        answer = press_download(client, box, hub, repository, token)
        assert answer.status_code == 302, answer.text
    return {repository: local_name(repository, key_of(hub, repository)) for repository in repositories}


def states(box: Stack) -> list[str]:
    with closing(sqlite3.connect(f"file:{box.data_dir / 'hostui.sqlite3'}?mode=ro", uri=True)) as database:
        return [state for (state,) in database.execute("SELECT state FROM models_app_job ORDER BY id")]


def got_beyond(box: Stack, n_bytes: int) -> bool:
    return parts_bytes(box) > n_bytes


def parts_bytes(box: Stack) -> int:
    """What of the downloads is here."""
    sizes = []
    for path in (box.data_dir / "models").glob("*.gguf*"):
        with suppress(FileNotFoundError):  # it has just got its name
            sizes.append(path.stat().st_size)
    return sum(sizes)


def test_downloads_survive_every_process_of_the_box(box: Stack, hub: HubServer, tmp_path: Path) -> None:
    offered = offer(hub, tmp_path)
    hub.faults.add(Slow(bytes_per_second=BYTES_PER_SECOND))
    with closing(box.login(box.admin)) as client:
        names = order_all(client, box, hub, offered)
        for victim in ROUNDS:
            before = parts_bytes(box)
            wait_for(partial(got_beyond, box, before + MIB), "the downloads to get on")
            box.kill(victim)
        hub.faults.clear()
        box.wait_healthy()
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        address = f"ws://127.0.0.1:{box.port}/ws/jobs/"
        with connect(address, additional_headers={"Cookie": cookies, "Origin": box.url}) as page:
            backlog = json.loads(page.recv(10))
            known = {row["id"]: row for row in backlog["jobs"]}
            while any(row["is_active"] for row in known.values()):
                frame = json.loads(page.recv(90))
                known |= {row["id"]: row for row in frame["jobs"]}
                page.send('{"type": "seen"}')
    assert [row["state"] for row in known.values()] == ["done"] * 3, known
    assert states(box) == ["done"] * 3
    models = box.data_dir / "models"
    expected = {}
    for repository, sources in offered.items():
        for number, source in enumerate(sources, start=1):
            tail = "" if len(sources) == 1 else f"-{number:05d}-of-{len(sources):05d}"
            expected[f"{names[repository]}{tail}.gguf"] = source.read_bytes()
    assert {path.name: path.read_bytes() for path in models.iterdir()} == expected
    listed = {model["id"] for model in httpx_models(box)}
    assert set(names.values()) <= listed


def httpx_models(box: Stack) -> list[dict[str, str]]:
    key = box.create_key(box.admin)
    answer = httpx.get(f"{box.url}/v1/models", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=30)
    return list(answer.json()["data"])


def test_an_orderly_stop_does_not_wait_for_a_download(box: Stack, hub: HubServer, tmp_path: Path) -> None:
    offer(hub, tmp_path)
    hub.faults.add(Slow(bytes_per_second=BYTES_PER_SECOND))
    with closing(box.login(box.admin)) as client:
        order_all(client, box, hub, ["owner/model0-GGUF"])
        wait_for(lambda: parts_bytes(box) > MIB, "the download to get on")
    box.stop()
    assert not any("killing" in line for line in box.lines), box.lines
    assert states(box) == ["queued"]
