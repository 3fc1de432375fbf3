"""Remembers repositories and headers of the Hub for a while: a page asks for the same ones again. Blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from inference.core.planning.header_estimates import HeaderEstimates
from inference.web.crossing.recent_values import Recent
from models_app.catalog.read_files import check_loadable
from models_app.hub.names import RemoteVariant
from models_app.hub.outage_memory import OutageMemory
from models_app.hub.records import RemoteRepository
from models_app.hub.siblings import SiblingHeaders

if TYPE_CHECKING:
    from models_app.hub.session import Hub

_MOST_REPOSITORIES = 32
_MOST_HEADERS = 48
_CHUNK_BYTES = 64 << 10

T = TypeVar("T")

_outages = OutageMemory()
_repositories: Recent[Any, RemoteRepository] = Recent(_MOST_REPOSITORIES)
_headers: Recent[Any, HeaderEstimates] = Recent(_MOST_HEADERS)


def ask(client: Hub, question: Callable[[], T], *, again: bool = False) -> T:
    """Asks the Hub, or tells at once that it was silent a moment ago. Raises HubError."""
    return _outages.ask(client.endpoint, question, again=again)


def newest(client: Hub, name: str, *, again: bool = False) -> RemoteRepository:
    """The repository as it is now. Raises HubError."""
    found = ask(client, lambda: client.repository(name), again=again)
    _repositories.put((client, name, found.revision), found)
    return found


def at_revision(client: Hub, name: str, revision: str) -> RemoteRepository:
    """The repository at a commit, which never changes. Raises HubError."""
    return _repositories.get((client, name, revision), lambda: ask(client, lambda: client.repository(name, revision)))


def at_or_newest(client: Hub, name: str, revision: str) -> RemoteRepository:
    """The repository at `revision`, or as it is now without one. Raises HubError."""
    return at_revision(client, name, revision) if revision else newest(client, name)


def siblings_of(client: Hub, repository: RemoteRepository) -> SiblingHeaders:
    """Reads several headers of the repository, one after the other or at once."""

    def open_range(path: str, start: int, end: int) -> Any:
        return client.open(repository.name, repository.revision, path, start, end, chunk_bytes=_CHUNK_BYTES)

    return SiblingHeaders(open_range)


def estimates_of(
    client: Hub, repository: RemoteRepository, variant: RemoteVariant, siblings: SiblingHeaders
) -> HeaderEstimates:
    """The variant's header, by range requests. Raises HubError, BadGguf, NotAModel."""

    def make() -> HeaderEstimates:
        header = ask(client, lambda: siblings.read_variant(variant.files))
        check_loadable(header)
        return HeaderEstimates(header)

    return _headers.get((client, repository.name, repository.revision, variant.key), make)
