"""A socket's name says who listens only in a folder of this user's alone: anything else is refused by both sides."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inference.engine import private_folder
from inference.engine.private_folder import UnsafeFolder
from inference.engine.serving.server import WorkerServer
from inference.host.api.client import HostClient, HostUnavailable, WorkerLost
from inference.host.run_dir import RunDir
from tests.stack import BASE_DIR

NOBODY = 65534


def open_to_others(folder: Path) -> None:
    folder.chmod(0o755)


def of_another_user(folder: Path) -> None:
    """Where root runs the tests; else a folder that only looks like ours, which any user can make: a link to it."""
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    else:
        a_link(folder)


def a_link(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


def replaceable_by_everybody(folder: Path) -> None:
    folder.parent.chmod(0o777)


UNSAFE = pytest.mark.parametrize("spoil", [open_to_others, of_another_user, a_link, replaceable_by_everybody])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "outer" / "run"
    made.mkdir(mode=0o700, parents=True)
    made.parent.chmod(0o700)
    return made


@asynccontextmanager
async def stranger(path: Path) -> AsyncIterator[list[bytes]]:
    """Somebody who listens at `path`, and what they got to read."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.close()

    async with await asyncio.start_unix_server(listen, str(path)):
        yield heard


@UNSAFE
async def test_a_client_tells_nothing_to_whoever_listens_there(
    folder: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(folder)
    async with stranger(folder / "host.sock") as heard:
        for _ in range(2):
            with pytest.raises(HostUnavailable, match="not safe for sockets"):
                await HostClient(str(folder / "host.sock")).status()
    assert heard == []
    assert caplog.text.count("not safe for sockets") == 1


@UNSAFE
async def test_no_prompt_goes_to_a_worker_there(tmp_path: Path, folder: Path, spoil: Callable[[Path], None]) -> None:
    ready = f'{{"type": "ready", "socket": "{folder / "worker-1-1.sock"}"}}\n'.encode()

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(ready)
        await reader.read()
        writer.close()

    spoil(folder)
    path = str(tmp_path / "host.sock")
    async with await asyncio.start_unix_server(host, path), stranger(folder / "worker-1-1.sock") as heard:
        lease = HostClient(path).lease(variant_id=1, user="ada", request_id="r")
        async with lease as leased:
            with pytest.raises(WorkerLost, match="not safe for sockets"):
                async for _ in leased.waiting():
                    pass
    assert heard == []


@pytest.mark.parametrize("spoil", [of_another_user, a_link, replaceable_by_everybody])
def test_the_host_does_not_start_there_and_changes_nothing(
    tmp_path: Path, folder: Path, spoil: Callable[[Path], None]
) -> None:
    folder.chmod(0o755)
    spoil(folder)
    run_dir = RunDir(str(folder / "host.sock"), tmp_path / "lock" / "host.lock")
    with pytest.raises(UnsafeFolder) as refused:
        run_dir.lock()
    assert str(folder) in str(refused.value)
    if spoil is not replaceable_by_everybody:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_the_host_closes_a_folder_of_its_own(folder: Path) -> None:
    folder.chmod(0o777)
    private_folder.make(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@UNSAFE
async def test_a_worker_does_not_listen_there(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder)
    handler: Any = None
    with pytest.raises(UnsafeFolder):
        await WorkerServer(handler).listen(folder / "worker-1-1.sock")
    assert os.listdir(folder) == []


def test_a_host_that_cannot_start_there_says_what_to_do_and_that_no_restart_helps(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    a_link(run)
    done = subprocess.run(
        [sys.executable, str(BASE_DIR / "manage.py"), "runhost"],
        env={**os.environ, "HOSTUI_DATA_DIR": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == os.EX_CONFIG, done.stderr
    assert "Traceback" not in done.stderr
    assert "it is a link. Remove it" in done.stderr
