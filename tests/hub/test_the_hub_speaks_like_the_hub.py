"""The unmodified huggingface_hub client against the test Hub: what it finds, fetches, and makes of what goes wrong."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx2
import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, set_client_factory
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from models_app.hub import session
from tests.hub import (
    CaptivePortal,
    Cut,
    HubServer,
    NoRanges,
    ServerError,
    Stall,
    TooManyRequests,
    WrongBytes,
    WrongDigest,
    WrongSize,
)

NAME = "owner/some-model-GGUF"
FILE = "some-model-Q4_0.gguf"
BODY = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def _unmodified_client() -> Iterator[None]:
    set_client_factory(lambda: httpx2.Client(follow_redirects=True, timeout=None))
    yield
    set_client_factory(session.make_client)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def api(hub: HubServer, source: Path) -> HfApi:
    readme = source.with_name("readme")
    readme.write_text("# Some model\n")
    hub.add(NAME, {FILE: source, "README.md": readme}, downloads=7, card={"license": "mit"})
    return HfApi(endpoint=hub.endpoint, token=False)


def fetch(hub: HubServer, tmp_path: Path, name: str = FILE, **options: object) -> bytes:
    path = hf_hub_download(NAME, name, endpoint=hub.endpoint, local_dir=tmp_path / "local", token=False, **options)
    return Path(path).read_bytes()


def test_a_search_finds_names_and_tags_over_several_pages(hub: HubServer, api: HfApi, source: Path) -> None:
    hub.page_size = 2
    for number in range(5):
        hub.add(f"other/model-{number}-GGUF", {FILE: source}, downloads=number)
    hub.add("other/model-9", {FILE: source}, tags=("safetensors",))

    found = list(api.list_models(search="model gguf", filter="gguf", sort="downloads", expand=["gated", "downloads"]))

    assert [one.id for one in found] == [NAME, *(f"other/model-{number}-GGUF" for number in (4, 3, 2, 1, 0))]
    assert [seen.query.get("cursor") for seen in hub.seen("search")] == [None, ("2",), ("4",)]


def test_a_tree_has_sizes_and_digests(api: HfApi) -> None:
    info = api.model_info(NAME)
    tree = {entry.path: entry for entry in api.list_repo_tree(NAME, revision=info.sha, recursive=True)}

    assert tree[FILE].size == len(BODY)
    assert tree[FILE].lfs.sha256 == hashlib.sha256(BODY).hexdigest()
    assert tree["README.md"].lfs is None
    assert info.card_data.license == "mit"


def test_a_file_is_resolved_to_its_commit_its_digest_and_another_place(hub: HubServer, api: HfApi) -> None:
    metadata = get_hf_file_metadata(hf_hub_url(NAME, FILE, endpoint=hub.endpoint), token=False)

    assert metadata.commit_hash == api.model_info(NAME).sha
    assert (metadata.size, metadata.etag) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert "/cdn/" in metadata.location


def test_files_arrive_whole_large_and_small(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path) == BODY
    assert fetch(hub, tmp_path, "README.md") == b"# Some model\n"


def test_a_range_is_answered_with_that_range(hub: HubServer, api: HfApi) -> None:
    url = hf_hub_url(NAME, FILE, endpoint=hub.endpoint)
    with httpx.Client(follow_redirects=True) as client:
        middle = client.get(url, headers={"Range": "bytes=100-199"})
        tail = client.get(url, headers={"Range": "bytes=-10"})
        beyond = client.get(url, headers={"Range": f"bytes={len(BODY)}-"})
        with hub.faults.during(NoRanges()):
            whole = client.get(url, headers={"Range": "bytes=100-199"})

    assert (middle.status_code, middle.content) == (206, BODY[100:200])
    assert middle.headers["Content-Range"] == f"bytes 100-199/{len(BODY)}"
    assert tail.content == BODY[-10:]
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")
    assert (whole.status_code, whole.content) == (200, BODY)


def test_an_old_commit_keeps_its_files(hub: HubServer, api: HfApi, source: Path, tmp_path: Path) -> None:
    old = api.model_info(NAME).sha
    newer = tmp_path / "newer"
    newer.write_bytes(b"newer")
    hub.repositories[NAME].commit({FILE: newer})

    assert api.model_info(NAME).sha != old
    assert fetch(hub, tmp_path, revision=old) == BODY
    with pytest.raises(RevisionNotFoundError):
        api.model_info(NAME, revision="0" * 40)


def test_gated_files_are_for_those_who_were_let_in(hub: HubServer, api: HfApi) -> None:
    hub.repositories[NAME].gated = True
    hub.repositories[NAME].readers = {"friend"}
    hub.users = {"hf_friend": "friend", "hf_stranger": "stranger"}
    url = hf_hub_url(NAME, FILE, endpoint=hub.endpoint)

    assert api.model_info(NAME).gated == "manual"
    for token in (False, "hf_stranger"):
        with pytest.raises(GatedRepoError):
            get_hf_file_metadata(url, token=token)
    assert get_hf_file_metadata(url, token="hf_friend").size == len(BODY)


def test_private_repositories_do_not_exist_for_strangers(hub: HubServer, api: HfApi) -> None:
    hub.repositories[NAME].private = True
    hub.repositories[NAME].readers = {"friend"}
    hub.users = {"hf_friend": "friend", "hf_stranger": "stranger"}

    assert list(api.list_models(search="some")) == []
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(NAME, token="hf_stranger")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        api.model_info(NAME, token="hf_revoked")
    assert api.model_info(NAME, token="hf_friend").id == NAME


def test_the_bytes_are_fetched_without_the_token_from_another_origin(
    hub: HubServer, api: HfApi, tmp_path: Path
) -> None:
    hub.users = {"hf_friend": "friend"}
    hf_hub_download(NAME, FILE, endpoint=hub.endpoint, local_dir=tmp_path / "local", token="hf_friend")

    assert {seen.has_token for seen in hub.seen("resolve")} == {True}
    assert {seen.has_token for seen in hub.seen("cdn")} == {False}


def test_a_cut_connection_is_resumed_from_where_it_ended(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    """huggingface_hub takes 10 MiB at a time, and only whole pieces of them."""
    large = tmp_path / "large"
    large.write_bytes(BODY * 21)
    hub.repositories[NAME].commit({FILE: large})
    hub.faults.add(Cut(after_bytes=15 * 1024 * 1024))

    assert fetch(hub, tmp_path) == large.read_bytes()
    assert [seen.range for seen in hub.seen("cdn")] == [None, f"bytes={10 * 1024 * 1024}-"]


def test_wrong_bytes_are_wrong_and_everything_else_is_right(hub: HubServer, api: HfApi, tmp_path: Path) -> None:
    hub.faults.add(WrongBytes(at=1000))
    wrong = fetch(hub, tmp_path)

    assert [index for index in range(len(BODY)) if wrong[index] != BODY[index]] == [1000]


def test_the_record_lies_about_size_and_digest_on_request(hub: HubServer, api: HfApi) -> None:
    with hub.faults.during(WrongSize(delta_bytes=-5), WrongDigest(sha256="a" * 64)):
        (entry,) = (entry for entry in api.list_repo_tree(NAME) if entry.path == FILE)
    assert (entry.size, entry.lfs.sha256) == (len(BODY) - 5, "a" * 64)


def test_statuses_come_as_often_as_asked_for(hub: HubServer, api: HfApi) -> None:
    url = hf_hub_url(NAME, FILE, endpoint=hub.endpoint)
    hub.faults.add(TooManyRequests(retry_after_seconds=7), ServerError(status=502), CaptivePortal())
    with httpx.Client() as client:
        answers = [client.get(url) for _ in range(4)]

    assert sorted(answer.status_code for answer in answers) == [200, 302, 429, 502]
    (hurried,) = (answer for answer in answers if answer.status_code == 429)
    assert hurried.headers["Retry-After"] == "7"


def test_a_stall_lasts_until_it_is_ended(hub: HubServer, api: HfApi) -> None:
    url = hf_hub_url(NAME, FILE, endpoint=hub.endpoint)
    hub.faults.add(Stall(after_bytes=1000))
    with httpx.Client(follow_redirects=True) as client, client.stream("GET", url) as response:
        stream = response.iter_raw(1000)
        first = next(stream)
        hub.faults.go_on()
        rest = b"".join(stream)

    assert first + rest == BODY


def test_hanging_up_ends_connections(hub: HubServer) -> None:
    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2]))) as connection:
        connection.sendall(b"GET /api/models HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert connection.recv(4) == b"HTTP"
        hub.hang_up()
        while connection.recv(65536):
            pass
