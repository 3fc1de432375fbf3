"""A whole box whose rows are in PostgreSQL and whose messages go through Redis: what it promises holds there, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.hub import HubServer, Slow
from tests.shared.servers import Servers
from tests.stack import Stack, csrf_token, running_stack, wait_for

pytestmark = pytest.mark.live

NAME = "owner/Starter-GGUF"
FILE = "Starter-Q4_1.gguf"
MIB = 1 << 20


@pytest.fixture
def box(servers: Servers, hub: HubServer, starter_path: Path) -> Iterator[Stack]:
    hub.add(NAME, {FILE: starter_path})
    with running_stack(
        HF_ENDPOINT=hub.endpoint,
        HOSTUI_DISK_RESERVE="1MiB",
        DATABASE_URL=servers.new_database(),
        HOSTUI_REDIS_URL=servers.redis_url,
    ) as running:
        yield running


def test_downloading_requantizing_and_chatting_survive_kills(box: Stack, hub: HubServer) -> None:
    assert not (box.data_dir / "hostui.sqlite3").exists()
    folder = box.data_dir / "models"
    part, making = folder / f"{FILE}.part", folder / ".making"
    hub.faults.add(Slow(bytes_per_second=40 * MIB))
    with closing(box.login(box.admin)) as client:
        page = f"/models/hub/{NAME}/"
        revision = hub.repositories[NAME].head
        press(box, client, page, f"{page}download/", {"key": FILE, "revision": revision})
        wait_for(lambda: part.exists() and part.stat().st_size > 10 * MIB, "the download to get on")
        box.kill("jobs")
        assert ended(box, client, 1) == "done"

        page = "/models/Starter-Q4_1/requantize/"
        press(box, client, page, page, {"type": "Q8_0", "name": "made"})
        wait_for(lambda: making.is_dir() and any(making.iterdir()), "the requantization to begin")
        box.kill("jobs")
        assert ended(box, client, 2) == "done"
        key = box.create_key(box.admin)
    answer = httpx.post(
        f"{box.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {key}"},
        json={"model": "made", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8},
        trust_env=False,
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].strip()


def test_a_download_goes_on_while_the_database_is_restarted(box: Stack, hub: HubServer, servers: Servers) -> None:
    part = box.data_dir / "models" / f"{FILE}.part"
    hub.faults.add(Slow(bytes_per_second=15 * MIB))
    with closing(box.login(box.admin)) as client:
        page = f"/models/hub/{NAME}/"
        press(box, client, page, f"{page}download/", {"key": FILE, "revision": hub.repositories[NAME].head})
        wait_for(lambda: part.exists() and part.stat().st_size > 15 * MIB, "the download to get on")
        servers.restart_database()
        assert ended(box, client, 1) == "done"
        log = client.get("/jobs/1/", headers={"Accept": "application/json"}).json()["lines"]
    assert not [line for line in log if "Its process ended" in line["text"]]


def test_a_socket_on_which_nothing_happens_stays_open(box: Stack) -> None:
    with closing(box.login(box.admin)) as client, jobs_socket(box, client) as socket:
        assert json.loads(socket.recv(10))["type"] == "backlog"
        with pytest.raises(TimeoutError):
            socket.recv(8)


def press(box: Stack, client: httpx.Client, page: str, url: str, form: dict[str, str]) -> None:
    """As the page's button does."""
    token = csrf_token(client.get(page).text)
    answer = client.post(url, data={"csrfmiddlewaretoken": token, **form}, headers={"Origin": box.url})
    assert answer.status_code == 302, answer.text


def ended(box: Stack, client: httpx.Client, job_id: int) -> str:
    """How that job ended, as an open page is told of it."""
    with jobs_socket(box, client) as socket:
        while True:
            frame = json.loads(socket.recv(120))
            socket.send('{"type": "seen"}')
            for row in frame["jobs"]:
                if row["id"] == job_id and not row["is_active"]:
                    return str(row["state"])


def jobs_socket(box: Stack, client: httpx.Client) -> ClientConnection:
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    address = f"ws://127.0.0.1:{box.port}/ws/jobs/"
    return connect(address, additional_headers={"Cookie": cookies, "Origin": box.url})
