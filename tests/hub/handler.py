"""One connection of the test Hub: the paths that huggingface_hub 2.4 calls, answered as the Hub answers them."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.hub.faults import (
    CaptivePortal,
    Cut,
    Latency,
    NoRanges,
    Redirect,
    ServerError,
    Slow,
    Stall,
    TooManyRequests,
    WrongBytes,
    WrongDigest,
    WrongSize,
)
from tests.hub.repositories import RemoteFile, RemoteRepository

if TYPE_CHECKING:
    from tests.hub.server import HubServer, Listener

_NAME = r"(?P<name>[^/]+/[^/]+)"
_ROUTES = [
    ("account", re.compile(r"/api/whoami-v2")),
    ("search", re.compile(r"/api/models")),
    ("tree", re.compile(rf"/api/models/{_NAME}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?")),
    ("repository", re.compile(rf"/api/models/{_NAME}(?:/revision/(?P<revision>[^/]+))?")),
    ("resolve", re.compile(rf"/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")),
    ("cdn", re.compile(rf"/cdn/{_NAME}/(?P<revision>[^/]+)/(?P<file>.+)")),
]
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as it came."""

    method: str
    where: str
    """A faults.Where."""
    path: str
    """Of the file in its repository, else the repository's name."""
    range: str | None
    user: str | None
    """Whose token it carried."""
    has_token: bool
    query: Mapping[str, tuple[str, ...]]


class Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    @property
    def _hub(self) -> HubServer:
        return self.server.hub

    # routing --------------------------------------------------------------------------------------------------

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {key: tuple(values) for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        for where, pattern in _ROUTES:
            if match := pattern.fullmatch(parts.path):
                found = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
                self._where = where
                self._subject = found.get("file") or found.get("name", "")
                self._note(query)
                if not self._misbehaved():
                    getattr(self, f"_{where}")(query, **found)
                return
        self._error(HTTPStatus.NOT_FOUND, "EntryNotFound", "Sorry, we can't find the page you are looking for.")

    def _note(self, query: Mapping[str, tuple[str, ...]]) -> None:
        token = self.headers.get("Authorization")
        self._hub.remember(
            Seen(
                method=self.command,
                where=self._where,
                path=self._subject,
                range=self.headers.get("Range"),
                user=self._user,
                has_token=token is not None,
                query=query,
            )
        )

    def _misbehaved(self) -> bool:
        """Whether a fault took the answer's place."""
        faults = self._hub.faults
        if late := faults.take(Latency, self._where, self._subject):
            faults.wait(late.seconds)
        if faults.take(CaptivePortal, self._where, self._subject):
            self._send(HTTPStatus.OK, b"<!doctype html><title>Welcome to our network</title>", "text/html")
        elif hurried := faults.take(TooManyRequests, self._where, self._subject):
            after = hurried.retry_after_seconds
            headers = {} if after is None else {"Retry-After": str(after)}
            if hurried.reset_seconds is not None:
                headers["RateLimit"] = f'"api";r=0;t={hurried.reset_seconds}'
            self._send(HTTPStatus.TOO_MANY_REQUESTS, b'{"error": "Too many requests"}', headers=headers)
        elif broken := faults.take(ServerError, self._where, self._subject):
            self._send(broken.status, b'{"error": "Internal error"}')
        elif away := faults.take(Redirect, self._where, self._subject):
            self._send(HTTPStatus.FOUND, b"", headers={"Location": away.to})
        else:
            return False
        return True

    # who may ----------------------------------------------------------------------------------------------------

    @property
    def _user(self) -> str | None:
        return self._hub.users.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def _repository_for(self, name: str, revision: str) -> RemoteRepository | None:
        """None after the error, or the way to its new name, was sent."""
        if name in self._hub.renamed:
            path = self.path.replace(quote(name), quote(self._hub.renamed[name]), 1)
            self._send(HTTPStatus.TEMPORARY_REDIRECT, b"", headers={"Location": path})
            return None
        repository = self._hub.repositories.get(name)
        if self.headers.get("Authorization") and self._user is None:
            self._error(HTTPStatus.UNAUTHORIZED, None, "Invalid credentials in Authorization header")
        elif repository is None or (repository.private and self._user not in repository.readers):
            # To a stranger the Hub says 401 for what does not exist, to somebody with a token 404.
            status = HTTPStatus.UNAUTHORIZED if self._user is None else HTTPStatus.NOT_FOUND
            self._error(status, "RepoNotFound", "Repository not found")
        elif repository.files(revision) is None:
            self._error(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repository
        return None

    # the API --------------------------------------------------------------------------------------------------

    def _account(self, query: Mapping[str, tuple[str, ...]]) -> None:
        if self._user is None:
            self._error(HTTPStatus.UNAUTHORIZED, None, "Invalid username or password.")
        else:
            self._send(HTTPStatus.OK, json.dumps({"type": "user", "name": self._user}).encode())

    def _search(self, query: Mapping[str, tuple[str, ...]]) -> None:
        words = " ".join(query.get("search", ())).casefold().split()
        wanted_tags = query.get("filter", ())
        author = next(iter(query.get("author", ())), None)
        found = [
            repository
            for repository in self._hub.repositories.values()
            if all(word in repository.name.casefold() for word in words)
            and all(tag in repository.tags for tag in wanted_tags)
            and author in (None, repository.name.partition("/")[0])
            and (not repository.private or self._user in repository.readers)
        ]
        order = next(iter(query.get("sort", ())), "downloads")
        found.sort(key=lambda one: one.likes if order == "likes" else one.downloads, reverse=True)
        self._page([_about(repository, repository.head) for repository in found], query)

    def _repository(self, query: Mapping[str, tuple[str, ...]], name: str, revision: str = "main") -> None:
        if repository := self._repository_for(name, revision):
            about = _about(repository, repository.commit_of(revision))
            files = repository.files(revision) or {}
            about["siblings"] = [{"rfilename": path} for path in files]
            self._send(HTTPStatus.OK, json.dumps(about).encode())

    def _tree(self, query: Mapping[str, tuple[str, ...]], name: str, revision: str, folder: str = "") -> None:
        if repository := self._repository_for(name, revision):
            files = (repository.files(revision) or {}).values()
            prefix = f"{folder}/" if folder else ""
            self._page([self._entry(file) for file in files if file.path.startswith(prefix)], query)

    def _entry(self, file: RemoteFile) -> dict[str, Any]:
        size_bytes, sha256 = self._record(file)
        entry = {"type": "file", "oid": file.blob_id, "size": size_bytes, "path": file.path}
        if file.is_lfs:
            entry["lfs"] = {"oid": sha256, "size": size_bytes, "pointerSize": 134}
        return entry

    def _record(self, file: RemoteFile) -> tuple[int, str]:
        """Size and digest as the Hub tells them, which a fault may make untrue."""
        faults = self._hub.faults
        size = faults.take(WrongSize, self._where, file.path)
        digest = faults.take(WrongDigest, self._where, file.path)
        return file.size_bytes + (size.delta_bytes if size else 0), digest.sha256 if digest else file.sha256

    def _page(self, items: list[dict[str, Any]], query: Mapping[str, tuple[str, ...]]) -> None:
        size = min(self._hub.page_size, int(next(iter(query.get("limit", ())), self._hub.page_size)))
        start = int(next(iter(query.get("cursor", ())), 0))
        headers = {}
        if start + size < len(items):
            following = urlencode({**query, "cursor": (str(start + size),)}, doseq=True)
            headers["Link"] = f'<{self._hub.endpoint}{urlsplit(self.path).path}?{following}>; rel="next"'
        self._send(HTTPStatus.OK, json.dumps(items[start : start + size]).encode(), headers=headers)

    # files ------------------------------------------------------------------------------------------------------

    def _resolve(self, query: Mapping[str, tuple[str, ...]], name: str, revision: str, file: str) -> None:
        repository = self._repository_for(name, revision)
        if repository is None:
            return
        commit = repository.commit_of(revision)
        found = (repository.files(revision) or {}).get(file)
        if found is None:
            self._error(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        elif repository.gated and self._user not in repository.readers:
            status = HTTPStatus.UNAUTHORIZED if self._user is None else HTTPStatus.FORBIDDEN
            self._error(status, "GatedRepo", f"Access to model {name} is restricted.", {"X-Repo-Commit": commit})
        elif found.is_lfs:
            size_bytes, sha256 = self._record(found)
            headers = {
                "Location": f"{self._hub.cdn_endpoint}/cdn/{name}/{commit}/{quote(file)}?signature=1",
                "X-Repo-Commit": commit,
                "X-Linked-Size": str(size_bytes),
                "X-Linked-ETag": f'"{sha256}"',
                "ETag": f'"{sha256}"',
                "Accept-Ranges": "bytes",
            }
            self._send(HTTPStatus.FOUND, b"", headers=headers)
        else:
            self._serve(found, {"X-Repo-Commit": commit, "ETag": f'"{found.blob_id}"'})

    def _cdn(self, query: Mapping[str, tuple[str, ...]], name: str, revision: str, file: str) -> None:
        found = self._hub.repositories[name].commits[revision][file]
        self._serve(found, {"ETag": f'"{found.sha256}"'})

    def _serve(self, file: RemoteFile, headers: Mapping[str, str]) -> None:
        start, end = 0, file.size_bytes
        status = HTTPStatus.OK
        asked = _RANGE.fullmatch(self.headers.get("Range") or "")
        if asked and not self._hub.faults.take(NoRanges, self._where, file.path):
            first, last = asked.groups()
            start = int(first) if first else max(0, end - int(last))
            end = min(end, int(last) + 1) if first and last else end
            status = HTTPStatus.PARTIAL_CONTENT
            if start >= end:
                total = {"Content-Range": f"bytes */{file.size_bytes}"}
                self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", headers=total)
                return
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if status is HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{file.size_bytes}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "GET":
            self._body(file, start, end)

    def _body(self, file: RemoteFile, start: int, end: int) -> None:
        faults = self._hub.faults
        cut = faults.take(Cut, self._where, file.path)
        stall = faults.take(Stall, self._where, file.path)
        slow = faults.take(Slow, self._where, file.path)
        wrong = faults.take(WrongBytes, self._where, file.path)
        stop = min(end, start + cut.after_bytes) if cut else end
        pause = min(stop, start + stall.after_bytes) if stall else stop
        spans = [(start, pause), (pause, stop)]
        self.wfile.flush()
        with file.source.open("rb") as source:
            for number, (first, last) in enumerate(spans):
                if number and stall:
                    faults.wait_to_go_on()
                if slow or wrong:
                    self._pieces(source, first, last, slow, wrong)
                elif last > first:
                    self.connection.sendfile(source, first, last - first)
        if cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _pieces(self, source: Any, first: int, last: int, slow: Slow | None, wrong: WrongBytes | None) -> None:
        began, sent = time.monotonic(), 0
        piece_bytes = _PIECE_BYTES if slow is None else max(1, min(_PIECE_BYTES, int(slow.bytes_per_second / 20)))
        while first < last:
            source.seek(first)
            piece = bytearray(source.read(min(piece_bytes, last - first)))
            if wrong and first <= wrong.at < first + len(piece):
                piece[wrong.at - first] ^= 0xFF
            self.connection.sendall(piece)
            first, sent = first + len(piece), sent + len(piece)
            if slow:
                self._hub.faults.wait(max(0.0, began + sent / slow.bytes_per_second - time.monotonic()))

    # sending ----------------------------------------------------------------------------------------------------

    def _error(self, status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> None:
        told = {"X-Error-Message": message, **(headers or {})}
        if code:
            told["X-Error-Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), headers=told)

    def _send(
        self,
        status: int,
        body: bytes,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _about(repository: RemoteRepository, commit: str) -> dict[str, Any]:
    about: dict[str, Any] = {
        "_id": commit[:24],
        "id": repository.name,
        "modelId": repository.name,
        "author": repository.name.partition("/")[0],
        "sha": commit,
        "gated": "manual" if repository.gated else False,
        "private": repository.private,
        "disabled": False,
        "downloads": repository.downloads,
        "likes": repository.likes,
        "tags": list(repository.tags),
        "createdAt": "2026-01-02T03:04:05.000Z",
        "lastModified": "2026-10-11T12:13:14.000Z",
        "cardData": dict(repository.card),
    }
    if repository.gguf is not None:
        about["gguf"] = dict(repository.gguf)
    return about
