"""What models_app.hub.session makes of a Hub, and of one that misbehaves."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models_app.hub.errors import (
    Broken,
    ConnectionDropped,
    Forbidden,
    ForbiddenAddress,
    Gated,
    HubError,
    NoSuchRange,
    NotAHub,
    NotOnHub,
    RateLimited,
    TokenRefused,
    Unreachable,
)
from models_app.hub.session import Hub
from models_app.hub.wording import sentence
from tests.hub import CaptivePortal, Cut, HubServer, NoRanges, Redirect, ServerError, Stall, TooManyRequests

NAME = "owner/some-model-GGUF"
FILE = "some-model-Q4_0.gguf"
BODY = bytes(range(256)) * 2048


@pytest.fixture
def client(hub: HubServer, tmp_path: Path, settings: Any) -> Hub:
    source = tmp_path / "body"
    source.write_bytes(BODY)
    hub.add(
        NAME,
        {FILE: source, "Q8_0/with blank & ümlaut.gguf": source},
        downloads=12,
        card={"license": "mit", "base_model": "owner/some-model"},
        gguf={"architecture": "llama", "total": 134_515_008, "context_length": 8192},
    )
    settings.HUB_ENDPOINT = hub.endpoint
    return Hub(hub.endpoint)


def read(client: Hub, start: int = 0, end: int | None = None, path: str = FILE) -> bytes:
    with client.open(NAME, "main", path, start, end) as body:
        return b"".join(body.chunks)


def test_a_search_tells_what_is_known(hub: HubServer, client: Hub) -> None:
    (found,) = client.search("some model")

    assert (found.name, found.downloads, found.architecture) == (NAME, 12, "llama")
    assert (found.n_params, found.n_ctx_train, found.gated) == (134_515_008, 8192, False)
    assert client.search("nothing of that name") == ()
    (first, _) = hub.seen("search")
    assert first.query["filter"] == ("gguf",)


def test_a_repository_is_one_commit_with_sizes_and_digests(hub: HubServer, client: Hub) -> None:
    repository = client.repository(NAME)

    assert repository.revision == hub.repositories[NAME].head
    assert (repository.licence, repository.base_models) == ("mit", ("owner/some-model",))
    by_path = {file.path: file for file in repository.files}
    assert by_path[FILE].size_bytes == len(BODY)
    assert by_path[FILE].sha256 == hashlib.sha256(BODY).hexdigest()
    assert len(hub.seen()) == 2


def test_a_renamed_repository_is_found_under_its_new_name(hub: HubServer, client: Hub) -> None:
    hub.renamed["former/name"] = NAME
    repository = client.repository("former/name")

    assert repository.name == NAME
    with client.open("former/name", repository.revision, FILE) as body:
        assert b"".join(body.chunks) == BODY


def test_bytes_come_whole_in_part_and_from_a_name_with_odd_letters(client: Hub) -> None:
    assert read(client) == BODY
    assert read(client, 1000) == BODY[1000:]
    assert read(client, 1000, 3000) == BODY[1000:3000]
    assert read(client, path="Q8_0/with blank & ümlaut.gguf") == BODY
    with client.open(NAME, "main", FILE, 1000, 3000) as body:
        assert (body.start, body.size_bytes) == (1000, len(BODY))


def test_an_ignored_range_is_told(hub: HubServer, client: Hub) -> None:
    with hub.faults.during(NoRanges()), client.open(NAME, "main", FILE, 1000) as body:
        assert (body.start, body.size_bytes) == (0, len(BODY))
        assert b"".join(body.chunks) == BODY


def test_a_range_behind_the_end_tells_the_size(client: Hub) -> None:
    with pytest.raises(NoSuchRange) as beyond:
        read(client, len(BODY))
    assert beyond.value.size_bytes == len(BODY)


def test_the_token_goes_to_the_endpoint_and_nowhere_else(hub: HubServer, client: Hub) -> None:
    hub.users = {"hf_friend": "friend"}
    hub.repositories[NAME].gated = True
    hub.repositories[NAME].readers = {"friend"}
    friend = Hub(hub.endpoint, "hf_friend")

    assert read(friend) == BODY
    assert [seen.user for seen in hub.seen("resolve")] == ["friend"]
    assert [seen.has_token for seen in hub.seen("cdn")] == [False]


def test_whose_a_token_is(hub: HubServer, client: Hub) -> None:
    hub.users = {"hf_friend": "friend"}

    assert Hub(hub.endpoint, "hf_friend").whose() == "friend"
    with pytest.raises(TokenRefused):
        Hub(hub.endpoint, "hf_revoked").whose()
    with pytest.raises(Forbidden):
        client.whose()
    assert len(hub.seen("account")) == 2


def test_no_token_is_taken_from_elsewhere(hub: HubServer, client: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub would look into the environment and the home folder by itself."""
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_shell")
    client.search("some")
    client.repository(NAME)
    read(client)

    assert {seen.has_token for seen in hub.seen()} == {False}


def test_gated_private_and_unknown_are_told_apart_as_far_as_the_hub_does(hub: HubServer, client: Hub) -> None:
    hub.users = {"hf_stranger": "stranger"}
    stranger = Hub(hub.endpoint, "hf_stranger")
    hub.repositories[NAME].gated = True
    for asking, had_token in ((client, False), (stranger, True)):
        with pytest.raises(Gated) as gated:
            read(asking)
        assert gated.value.had_token is had_token
    assert stranger.repository(NAME).found.gated

    with pytest.raises(NotOnHub) as unknown:
        stranger.repository("owner/nothing")
    assert (unknown.value.what, unknown.value.had_token) == ("repository", True)
    hub.repositories[NAME].private = True
    with pytest.raises(NotOnHub):
        stranger.repository(NAME)
    with pytest.raises(TokenRefused):
        Hub(hub.endpoint, "hf_revoked").repository(NAME)


def test_what_does_not_exist_is_named(client: Hub) -> None:
    with pytest.raises(NotOnHub) as revision:
        client.repository(NAME, "0" * 40)
    with pytest.raises(NotOnHub) as file:
        read(client, path="nothing.gguf")
    with pytest.raises(NotOnHub) as nonsense:
        client.repository("no/such/../name")
    assert [error.value.what for error in (revision, file, nonsense)] == ["revision", "file", "repository"]


def test_a_failure_is_told_at_once_and_not_tried_again(hub: HubServer, client: Hub) -> None:
    """Each of these would make huggingface_hub itself sleep for a while."""
    hub.faults.add(TooManyRequests(where="search", retry_after_seconds=300), ServerError(where="tree", status=503))
    with pytest.raises(RateLimited) as hurried:
        client.search("some")
    with pytest.raises(Broken) as broken:
        client.repository(NAME)

    hub.faults.add(TooManyRequests(where="search", reset_seconds=55))
    with pytest.raises(RateLimited) as limited:
        client.search("some")

    assert (hurried.value.after_seconds, limited.value.after_seconds) == (300, 55)
    assert broken.value.status == 503
    assert [len(hub.seen(where)) for where in ("search", "tree")] == [2, 1]


def test_a_sign_in_page_is_not_taken_for_an_answer(hub: HubServer, client: Hub) -> None:
    with hub.faults.during(CaptivePortal(times=None)):
        for ask in (lambda: client.search("some"), lambda: client.repository(NAME), lambda: read(client)):
            with pytest.raises(NotAHub):
                ask()


@pytest.mark.parametrize("where", ["search", "repository", "tree", "resolve", "cdn"])
@pytest.mark.parametrize("to", ["http://localhost:1/x", "http://169.254.169.254/latest", "ftp://elsewhere/x"])
def test_a_redirect_to_a_forbidden_address_is_not_followed(hub: HubServer, client: Hub, where: str, to: str) -> None:
    hub.faults.add(Redirect(where=where, to=to, times=None))  # type: ignore[arg-type]
    ask = {"search": lambda: client.search("some"), "resolve": lambda: read(client), "cdn": lambda: read(client)}
    with pytest.raises((ForbiddenAddress, NotAHub, Unreachable)) as refused:
        ask.get(where, lambda: client.repository(NAME))()
    assert not isinstance(refused.value, Unreachable) or to.startswith("ftp")


def test_an_end_in_the_middle_is_told_after_the_bytes_that_came(hub: HubServer, client: Hub) -> None:
    hub.faults.add(Cut(after_bytes=100_000))
    with client.open(NAME, "main", FILE, chunk_bytes=1000) as body:
        came = b"".join(next(body.chunks) for _ in range(100))
        assert came == BODY[:100_000]
        with pytest.raises(Unreachable):
            next(body.chunks)


def test_a_read_that_waits_is_ended_from_another_thread(hub: HubServer, client: Hub) -> None:
    hub.faults.add(Stall(after_bytes=1000))
    with client.open(NAME, "main", FILE, chunk_bytes=1000) as body, ThreadPoolExecutor(1) as pool:
        next(body.chunks)
        waiting = pool.submit(next, body.chunks)
        body.abort()
        with pytest.raises(Unreachable):
            waiting.result()
        body.abort()


def test_errors_of_whoever_reads_stay_theirs(client: Hub) -> None:
    with pytest.raises(ValueError, match=r"^mine$"), client.open(NAME, "main", FILE):
        raise ValueError("mine")


@pytest.fixture
def nobody() -> Iterator[str]:
    """An endpoint whose port is taken and where nobody answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_a_hub_that_cannot_be_reached_is_told_at_once(nobody: str, settings: Any) -> None:
    settings.HUB_ENDPOINT = nobody
    with pytest.raises(Unreachable):
        Hub(nobody).search("some")


def test_every_error_has_a_sentence_that_says_what_to_do() -> None:
    errors: list[HubError] = [
        Unreachable("https://huggingface.co", "no route"),
        ConnectionDropped("https://huggingface.co", "peer closed connection"),
        RateLimited(120.0),
        RateLimited(None),
        Broken(502),
        NotOnHub("repository", "a/b", had_token=False),
        NotOnHub("file", "x.gguf", had_token=False),
        Gated("a/b", had_token=False),
        Gated("a/b", had_token=True),
        TokenRefused(),
        NotAHub("https://huggingface.co", "it is a page"),
        ForbiddenAddress("http://10.0.0.1/x", "which is on a private network"),
        NoSuchRange(5),
    ]
    sentences = [sentence(error) for error in errors]
    assert all(each[0].isupper() and each.endswith(".") for each in sentences)
    assert len(set(sentences)) == len(errors)
