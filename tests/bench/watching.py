"""Open dashboards without browsers: a process of its own, so that what the pages cost is not counted with the box.

`python -m tests.bench.watching` reads one JSON line on standard input, `{"address", "cookies"}`, opens `/ws/host/` once for each cookie, says
`watching` when every page has its backlog, and when its input ends, how many frames each page took in.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

SEEN_EVERY = 5
"""As static/js/dashboard/page.js acknowledges."""
OPENING_AT_ONCE = 20


class NotWatching(Exception):
    """A page was refused, or the process of the pages ended."""


class Watching:
    """Pages that are open inside the block."""

    def __init__(self, address: str, cookies: Sequence[str]) -> None:
        self.frames: list[int] = []
        """Of each page, less the backlog; known after the block."""
        self._job = json.dumps({"address": address, "cookies": list(cookies)})

    def __enter__(self) -> Watching:
        """Returns when every page has its backlog. Raises NotWatching."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.watching"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._job + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline().strip()
        if line != "watching":
            self._process.kill()
            self._process.wait()
            raise NotWatching(line or "the process of the pages ended")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        line = self._process.stdout.readline()
        self._process.stdout.close()
        self._process.wait(timeout=30)
        if error is None:
            if not line:
                raise NotWatching("the process of the pages ended")
            self.frames = json.loads(line)["frames"]


class _Page:
    def __init__(self) -> None:
        self.n_frames = 0
        self.has_backlog = asyncio.Event()

    async def follow(self, socket: ClientConnection) -> None:
        async for text in socket:
            if not self.has_backlog.is_set():
                assert json.loads(text)["type"] == "backlog"
                self.has_backlog.set()
                continue
            self.n_frames += 1
            if self.n_frames % SEEN_EVERY == 0:
                await socket.send('{"type":"seen"}')


async def _watch(address: str, cookies: Sequence[str]) -> None:
    pages = [_Page() for _ in cookies]
    gate = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_(page: _Page, cookie: str) -> asyncio.Task[None]:
        async with gate:
            headers = {"Cookie": cookie, "Origin": f"http://{address}"}
            socket = await connect(f"ws://{address}/ws/host/", additional_headers=headers, max_size=None)
            following = asyncio.create_task(page.follow(socket))
            await asyncio.wait(
                {following, asyncio.ensure_future(page.has_backlog.wait())}, return_when="FIRST_COMPLETED"
            )
            if following.done():
                raise NotWatching(f"a page was closed: {socket.close_code}")
            return following

    tasks = await asyncio.gather(*(open_(page, cookie) for page, cookie in zip(pages, cookies, strict=True)))
    print("watching", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    if any(task.done() for task in tasks):
        raise NotWatching("a page was closed while it watched")
    print(json.dumps({"frames": [page.n_frames for page in pages]}), flush=True)
    for task in tasks:
        task.cancel()


def main() -> None:
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    asyncio.run(_watch(job["address"], job["cookies"]))


if __name__ == "__main__":
    main()
