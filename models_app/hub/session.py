"""The Hub by way of huggingface_hub: its endpoints, headers, errors and HTTP session. The only module that imports it. Blocks.

huggingface_hub tries again by itself, asleep in the thread that called. Here pages and jobs wait, who have better ways of
waiting: so a failure leaves the client as an exception that it does not know, and is told at once.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx2
from django.conf import settings
from huggingface_hub import HfApi, constants, get_session, hf_hub_url, set_client_factory
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoFile
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, parse_ratelimit_headers

from models_app.hub import addresses
from models_app.hub.errors import (
    Broken,
    ConnectionDropped,
    Forbidden,
    Gated,
    HubError,
    NoSuchRange,
    NotAHub,
    NotOnHub,
    RateLimited,
    TokenRefused,
    Unreachable,
)
from models_app.hub.names import RemoteFile
from models_app.hub.records import FoundRepository, RemoteRepository

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""A body that stalls for longer is given up; the next attempt goes on where it stood."""
MOST_FILES = 10_000
CHUNK_BYTES = 1 << 20
_EXPAND = ["author", "downloads", "gated", "gguf", "lastModified", "likes", "private", "tags"]


class _Client(httpx2.Client):
    """One per process, shared by all threads, as huggingface_hub has it."""

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if constants.is_offline_mode():
            raise Unreachable(settings.HUB_ENDPOINT, "HF_HUB_OFFLINE is set")
        try:
            response = super().send(request, **options)
        except (httpx2.TransportError, httpx2.TooManyRedirects) as error:
            raise Unreachable(settings.HUB_ENDPOINT, _cause(error)) from None
        except httpx2.InvalidURL as error:
            raise NotAHub(settings.HUB_ENDPOINT, f"it leads nowhere ({error})") from None
        if response.status_code == 429 or response.status_code >= 500 or response.status_code == 408:
            response.close()
            after_seconds = _retry_after(response)
            raise (
                RateLimited(after_seconds)
                if response.status_code == 429
                else Broken(response.status_code, after_seconds)
            )
        return response


def make_client() -> httpx2.Client:
    return _Client(
        event_hooks={"request": [lambda request: addresses.check_address(str(request.url), settings.HUB_ENDPOINT)]},
        follow_redirects=True,
        max_redirects=5,
        timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
    )


set_client_factory(make_client)


def _cause(error: Exception) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, httpx2.TimeoutException):
        return f"nothing came for {READ_SECONDS:.0f} s"
    return (str(error) or type(error).__name__)[:200].rstrip(".")


def _retry_after(response: httpx2.Response) -> float | None:
    limit = parse_ratelimit_headers(response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    value = response.headers.get("Retry-After", "").strip()
    return min(float(value), 86_400.0) if value.isascii() and value.isdigit() and len(value) < 10 else None


@dataclass(frozen=True, slots=True)
class RemoteBody:
    """Bytes of a file, as they arrive."""

    start: int
    """Of the first byte that comes: 0 where the server ignored the range."""
    size_bytes: int | None
    """Of the whole file, as whoever sends it says."""
    chunks: Iterator[bytes]
    """Raises ConnectionDropped when the connection ends too early."""
    _connection: socket.socket | None = None

    def abort(self) -> None:
        """Ends a read that waits in another thread: `chunks` raises ConnectionDropped there. Harmless at any time."""
        if self._connection is not None:
            with suppress(OSError):
                # The socket's own: TLS would first take its state away from the thread that reads.
                socket.socket.shutdown(self._connection, socket.SHUT_RDWR)


class Hub:
    """`token` goes to the endpoint alone. Every method raises HubError and nothing else."""

    def __init__(self, endpoint: str, token: str | None = None) -> None:
        self.endpoint = endpoint.rstrip("/")
        self._token: str | bool = token or False
        self._api = HfApi(endpoint=self.endpoint, token=self._token, library_name="hostui")

    def __eq__(self, other: object) -> bool:
        """Whether both would be told the same."""
        return isinstance(other, Hub) and (self.endpoint, self._token) == (other.endpoint, other._token)

    def __hash__(self) -> int:
        return hash((self.endpoint, self._token))

    def whose(self) -> str | None:
        """The name of the account that the token is of. Raises TokenRefused; without a token, Forbidden."""
        if not self._token:
            raise Forbidden("a token is needed")
        with self._errors("account", "of the token"):
            return _text(self._api.whoami().get("name"))

    def search(self, words: str, limit: int = 30) -> tuple[FoundRepository, ...]:
        """Repositories with GGUF files, those downloaded most first."""
        with self._errors("repository", words):
            models = self._api.list_models(search=words, filter="gguf", sort="downloads", limit=limit, expand=_EXPAND)  # type: ignore[arg-type]
            return tuple(_found(info) for info in models)

    def repository(self, name: str, revision: str = "main") -> RemoteRepository:
        """The repository as `revision` has it now, with all its files. Two requests, more for very many files."""
        with self._errors("repository", name):
            info = self._api.model_info(name, revision=None if revision == "main" else revision)
            if not info.sha:
                raise NotAHub(self.endpoint, "it names no commit")
            tree = self._api.list_repo_tree(name, recursive=True, revision=info.sha)
            files = tuple(_file(entry) for entry in islice(tree, MOST_FILES) if isinstance(entry, RepoFile))
        return RemoteRepository(
            found=_found(info),
            revision=info.sha,
            licence=_text(info.card_data.get("license")) if info.card_data else None,
            base_models=_base_models(info),
            files=files,
        )

    @contextmanager
    def open(
        self,
        repository: str,
        revision: str,
        path: str,
        start: int = 0,
        end: int | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[RemoteBody]:
        """The file's bytes from `start` up to `end`, which is not included; None: to its end.

        Raises NoSuchRange where the file ends before `start`.
        """
        url = hf_hub_url(repository, path, revision=revision, endpoint=self.endpoint)
        headers = build_hf_headers(token=self._token, library_name="hostui")
        headers["Accept-Encoding"] = "identity"
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with ExitStack() as stack:
            with self._errors("file", path, repository):
                response = stack.enter_context(get_session().stream("GET", url, headers=headers))
                if response.status_code == 416:
                    raise NoSuchRange(_total(response))
                hf_raise_for_status(response)
                self._check_is_file(response)
            yield RemoteBody(
                start if response.status_code == 206 else 0,
                _total(response),
                self._chunks(response, chunk_bytes),
                response.extensions["network_stream"].get_extra_info("socket"),
            )

    def _check_is_file(self, response: httpx2.Response) -> None:
        encoding = response.headers.get("Content-Encoding", "identity")
        # A CDN does not say it; the Hub does, on the way there.
        is_hub = any("X-Repo-Commit" in each.headers for each in (*response.history, response))
        if not is_hub or encoding != "identity" or response.status_code not in (200, 206):
            raise NotAHub(self.endpoint, "it sent something else than the file")

    def _chunks(self, response: httpx2.Response, chunk_bytes: int) -> Iterator[bytes]:
        try:
            yield from response.iter_raw(chunk_bytes)
        except httpx2.TransportError as error:
            raise ConnectionDropped(self.endpoint, _cause(error)) from None

    @contextmanager
    def _errors(self, what: str, name: str, repository: str = "") -> Iterator[None]:
        """Turns what huggingface_hub raises into HubError."""
        had_token = bool(self._token)
        try:
            yield
        except HubError:
            raise
        except GatedRepoError:
            raise Gated(repository or name, had_token=had_token) from None
        except RepositoryNotFoundError:
            raise NotOnHub("repository", repository or name, had_token=had_token) from None
        except RevisionNotFoundError:
            raise NotOnHub("revision", name, had_token=had_token) from None
        except RemoteEntryNotFoundError:
            raise NotOnHub("file", name, had_token=had_token) from None
        except HFValidationError:
            raise NotOnHub("repository", name, had_token=had_token) from None
        except HfHubHTTPError as error:
            raise self._of_status(error) from None
        except httpx2.TransportError as error:
            raise Unreachable(self.endpoint, _cause(error)) from None
        except (ValueError, KeyError, TypeError, AttributeError, httpx2.HTTPError) as error:
            # What came is no JSON, or not what the API promises.
            raise NotAHub(self.endpoint, f"its answer makes no sense ({type(error).__name__})") from None

    def _of_status(self, error: HfHubHTTPError) -> HubError:
        said = (error.server_message or "").strip()[:300]
        status = error.response.status_code
        if status == 401:
            return TokenRefused() if self._token else Forbidden(said or "a token is needed")
        if status == 403:
            return Forbidden(said or "forbidden")
        if isinstance(error, BadRequestError) or 400 <= status < 500:
            return NotAHub(self.endpoint, f"it answered with status {status}{f' ({said})' if said else ''}")
        return Broken(status)


def _found(info: ModelInfo) -> FoundRepository:
    gguf = info.gguf if isinstance(info.gguf, dict) else {}
    return FoundRepository(
        name=info.id,
        downloads=info.downloads,
        likes=info.likes,
        gated=bool(info.gated),
        private=bool(info.private),
        updated_at=info.last_modified,
        architecture=_text(gguf.get("architecture")),
        n_params=_count(gguf.get("total")),
        n_ctx_train=_count(gguf.get("context_length")),
        tags=tuple(tag for tag in info.tags or () if isinstance(tag, str))[:64],
    )


def _file(entry: RepoFile) -> RemoteFile:
    sha256 = entry.lfs.sha256 if entry.lfs else None
    return RemoteFile(entry.path, int(entry.size), sha256.lower() if sha256 else None)


def _base_models(info: ModelInfo) -> tuple[str, ...]:
    named = info.card_data.get("base_model") if info.card_data else None
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    return tuple(name for name in names if isinstance(name, str))[:8]


def _text(value: object) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _total(response: httpx2.Response) -> int | None:
    """The whole file's size, from Content-Range or from the length of a whole answer."""
    size = response.headers.get("Content-Range", "").rpartition("/")[2]
    if not size and response.status_code == 200:
        size = response.headers.get("Content-Length", "")
    return int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None
