"""The server: listens on two ports, for itself and for its CDN, remembers what it was asked, and hands requests to handlers."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.hub.faults import Faults
from tests.hub.handler import Handler, Seen
from tests.hub.repositories import RemoteRepository


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: HubServer, host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.hub = hub
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="hub", daemon=True)
        self._thread.start()

    @property
    def origin(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        self.shutdown()
        self.hang_up()
        self.server_close()
        self._thread.join()


class HubServer:
    """What the test tells it and asks it; the two listeners share it."""

    def __init__(self, host: str, port: int) -> None:
        self.faults = Faults()
        self.repositories: dict[str, RemoteRepository] = {}
        self.renamed: dict[str, str] = {}
        """Old name to new: the Hub answers with redirects."""
        self.users: dict[str, str] = {}
        """Token to user name."""
        self.page_size = 50
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._api = Listener(self, host, port)
        self._cdn = Listener(self, host, 0)
        self.endpoint = self._api.origin
        self.cdn_endpoint = self._cdn.origin
        """Where redirects to the bytes of large files lead: another origin, as on the Hub."""

    def add(
        self, name: str, files: Mapping[str, Path], sha256: Mapping[str, str] | None = None, **about: Any
    ) -> RemoteRepository:
        """A repository with one commit of these files; `sha256` as in its commit(), `about` as in RemoteRepository."""
        repository = RemoteRepository(name, **about)
        repository.commit(files, sha256)
        self.repositories[name] = repository
        return repository

    def remember(self, seen: Seen) -> None:
        with self._lock:
            self._seen.append(seen)

    def seen(self, where: str | None = None) -> list[Seen]:
        """What was asked so far, or of that what was asked of `where`."""
        with self._lock:
            return [seen for seen in self._seen if where in (None, seen.where)]

    def forget(self) -> None:
        with self._lock:
            self._seen.clear()

    def hang_up(self) -> None:
        """Ends every connection, in the middle of whatever it carries."""
        self._api.hang_up()
        self._cdn.hang_up()

    def close(self) -> None:
        self.faults.close()
        self._api.stop()
        self._cdn.stop()


@contextmanager
def running_hub(host: str = "127.0.0.1", port: int = 0) -> Iterator[HubServer]:
    """A Hub in threads of this process; gone, with all its connections, when the block ends."""
    hub = HubServer(host, port)
    try:
        yield hub
    finally:
        hub.close()
