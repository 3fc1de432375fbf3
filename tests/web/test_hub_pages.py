"""Finding models through Django's client, with a Hub behind it: who sees what, what is said of it, and what a download becomes."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse

from inference import hub_plans, remote_models
from inference.hub_presentation import repository_named
from models_app.hardware.profile import GIB
from models_app.hub.access import set_token, token_for
from models_app.hub.reach import Reach
from models_app.models import HardwareProfile, Job
from tests.gguf_builder import SHAPES, TINY, build
from tests.hub import CaptivePortal, HubServer, NoRanges, ServerError
from tests.web.fake_host import FakeHost, resident

NAME = "owner/Tiny-GGUF"
URL = "/models/hub/owner/Tiny-GGUF/"
PLANS = f"{URL}plans.ndjson"
DOWNLOAD = f"{URL}download/"


@pytest.fixture(autouse=True)
def _fresh(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.MODELS_DIR = tmp_path / "models"
    settings.HOST_SOCKET = str(tmp_path / "no-host.sock")
    monkeypatch.setattr(remote_models, "_reach", Reach())
    yield
    from huggingface_hub import close_session

    close_session()


@pytest.fixture
def box(transactional_db: None) -> HardwareProfile:
    return HardwareProfile.objects.create(
        name="this machine",
        is_this_machine=True,
        gpus=[{"name": "RTX 3060", "memory_bytes": 12 * GIB, "bandwidth_bytes_per_second": 360 * 10**9}],
        ram_bytes=64 * GIB,
        ram_bandwidth_bytes_per_second=60 * 10**9,
        n_cores=8,
    )


@pytest.fixture
def repository(hub: HubServer, tmp_path: Path, settings: Any) -> HubServer:
    """A tiny model in three quantizations, one of them in two shards; a projector, and a name that climbs."""
    folder = tmp_path / "remote"
    folder.mkdir()
    for quantization in ("Q4_0", "Q8_0"):
        build(folder / f"Tiny-{quantization}.gguf", TINY[0], quantization=quantization)
    build(folder / "Tiny-F16.gguf", TINY[0], quantization="F16", split=2)
    files = {path.name: path for path in sorted(folder.iterdir())}
    (folder / "mmproj").write_bytes(b"GGUF")
    hub.add(
        NAME,
        {**files, "mmproj-Tiny-f16.gguf": folder / "mmproj", "../evil-Q4_0.gguf": folder / "mmproj"},
        downloads=12_345,
        card={"license": "apache-2.0", "base_model": ["owner/Tiny"]},
        gguf={"architecture": "llama", "total": 1_200_000, "context_length": 8192},
    )
    settings.HUB_ENDPOINT = hub.endpoint
    return hub


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("owner", is_staff=True)


@pytest.fixture
def staff(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def member(transactional_db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("member"))
    return client


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


async def lines_of(user: User, **query: Any) -> list[dict[str, Any]]:
    client = AsyncClient()
    await client.aforce_login(user)
    response = await client.get(PLANS, query)
    if not response.streaming:
        return [json.loads(response.content)]
    body = b"".join([chunk async for chunk in response.streaming_content])
    return [json.loads(line) for line in body.splitlines()]


def by_key(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {line["key"]: line for line in lines if line["type"] == "plan"}


# looking ------------------------------------------------------------------------------------------------------


def test_nobody_looks_without_a_login(client: Client, transactional_db: None) -> None:
    for url in (reverse("hub-find"), URL, PLANS):
        assert client.get(url).status_code == 302


def test_a_search_leads_to_repositories(member: Client, repository: HubServer) -> None:
    response = member.get(reverse("hub-find"), {"q": "tiny"})
    told = text_of(response)

    assert "1 repository with GGUF files" in told
    assert "1.2M parameters · llama · 8,192 tokens of context · 12.3K downloads in a month" in told
    assert f'href="{URL}"' in response.content.decode()
    assert "Nothing on the Hub" in text_of(member.get(reverse("hub-find"), {"q": "no such thing"}))
    assert "before anything is downloaded" in text_of(member.get(reverse("hub-find")))
    assert len(repository.seen("search")) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("owner/Tiny-GGUF", ("owner", "Tiny-GGUF", False)),
        ("https://huggingface.co/owner/Tiny-GGUF", ("owner", "Tiny-GGUF", True)),
        ("https://hf.co/owner/Tiny-GGUF/tree/main?x=1", ("owner", "Tiny-GGUF", True)),
        ("http://mirror.lan:8080/owner/Tiny-GGUF", ("owner", "Tiny-GGUF", True)),
        ("https://huggingface.co/datasets/squad", None),
        ("https://elsewhere.example/owner/Tiny-GGUF", None),
        ("owner/../name", None),
        ("tiny model", None),
        ("", None),
    ],
)
def test_a_name_or_an_address_is_recognised(words: str, told: tuple[str, str, bool] | None) -> None:
    found = repository_named(words, "http://mirror.lan:8080")
    assert told == (None if found is None else (found.owner, found.name, found.is_address))


def test_a_pasted_address_leads_to_the_repository(member: Client, repository: HubServer) -> None:
    response = member.get(reverse("hub-find"), {"q": f"https://huggingface.co/{NAME}/blob/main/README.md"})
    assert (response.status_code, response.url) == (302, URL)
    assert f"Open the repository {NAME}" in text_of(member.get(reverse("hub-find"), {"q": NAME}))


def test_names_that_are_none_are_left_out_of_what_was_found(member: Client, repository: HubServer) -> None:
    files = {path: file.source for path, file in (repository.repositories[NAME].files("main") or {}).items()}
    for name in ("tiny-without-an-owner", "tiny/of/three", "tiny/..", "tiny/<script>"):
        repository.add(name, files)
    told = text_of(member.get(reverse("hub-find"), {"q": "tiny"}))
    assert "1 repository with GGUF files" in told


def test_a_renamed_repository_leads_to_its_new_name(member: Client, repository: HubServer) -> None:
    repository.renamed["former/Name"] = NAME
    response = member.get("/models/hub/former/Name/")
    assert (response.status_code, response.url) == (302, URL)


def test_a_repository_shows_each_variant_as_a_row_before_anything_is_planned(
    staff: Client, repository: HubServer
) -> None:
    told = text_of(staff.get(URL))

    assert "3 variants" in told
    assert "Q4_0" in told
    assert "Small and fast on every processor" in told
    assert "in 2 files" in told
    assert "apache-2.0" in told
    assert "owner/Tiny" in told
    assert "mmproj-Tiny-f16.gguf is a vision or audio projector" in told
    assert "../evil-Q4_0.gguf Refused: the name climbs out of the repository." in told
    assert {seen.where for seen in repository.seen()} == {"repository", "tree"}


def test_members_look_and_do_not_download(member: Client, staff: Client, repository: HubServer) -> None:
    assert DOWNLOAD in staff.get(URL).content.decode()
    assert DOWNLOAD not in member.get(URL).content.decode()
    assert member.post(DOWNLOAD, {"key": "Tiny-Q4_0.gguf"}).status_code == 403
    assert member.post(reverse("hub-token"), {"token": "hf_0123456789"}).status_code == 403
    assert not Job.objects.exists()


# plans --------------------------------------------------------------------------------------------------------


async def test_every_variant_is_planned_and_one_recommended(
    owner: User, repository: HubServer, box: HardwareProfile
) -> None:
    lines = await lines_of(owner)
    plans = by_key(lines)

    assert set(plans) == {"Tiny-Q4_0.gguf", "Tiny-Q8_0.gguf", "Tiny-F16.gguf"}
    for plan in plans.values():
        assert (plan["fit"], plan["fit_words"]) == ("whole", "Fits wholly")
        assert re.match(r"All 5 layers on the GPU · .+ RTX 3060", plan["how"])
        assert re.fullmatch(r"about [\d,]+ tokens/s", plan["decode"])
        assert "llama · trained with 8,192 tokens of context" in plan["model"]
    assert lines[-1]["type"] == "recommended"
    assert lines[-1]["key"] == "Tiny-Q8_0.gguf"
    assert lines[-1]["reason"].startswith("The best quality that fits this box wholly and answers fast:")


async def test_a_plan_takes_one_range_request_a_file_and_none_the_second_time(
    owner: User, repository: HubServer, box: HardwareProfile
) -> None:
    await lines_of(owner)
    assert sorted(seen.path for seen in repository.seen("cdn")) == [
        "Tiny-F16-00001-of-00002.gguf",
        "Tiny-F16-00002-of-00002.gguf",
        "Tiny-Q4_0.gguf",
        "Tiny-Q8_0.gguf",
    ]
    assert all(seen.range is not None for seen in repository.seen("cdn"))

    repository.forget()
    plans = by_key(await lines_of(owner, ctx=512, slots=1, revision=repository.repositories[NAME].head))
    assert len(plans) == 3
    assert repository.seen() == []


async def test_a_large_model_is_planned_in_part_and_who_would_leave_is_said(
    owner: User, hub: HubServer, tmp_path: Path, settings: Any, box: HardwareProfile, host: FakeHost
) -> None:
    large = build(tmp_path / "Large-Q4_0.gguf", SHAPES["llama-70b"])
    middle = build(tmp_path / "Middle-Q4_0.gguf", SHAPES["llama-8b"])
    files = {path.name: path for path in (large, middle)}
    hub.add(NAME, files, sha256=dict.fromkeys(files, "0" * 64))
    settings.HUB_ENDPOINT = hub.endpoint
    host.devices = [
        {
            "device": "gpu0",
            "name": "RTX 3060",
            "capacity_bytes": 12 * GIB,
            "budget_bytes": 11 * GIB,
            "reserve_bytes": GIB // 2,
            "reserved_bytes": 9 * GIB,
            "foreign_bytes": 0,
        }
    ]
    await host.tell([{**resident(1, "Resident-7B"), "bytes_by_device": {"gpu0": 9 * GIB}, "pinned": False}])

    plans = by_key(await lines_of(owner))

    assert plans["Large-Q4_0.gguf"]["fit"] == "part"
    assert re.match(r"\d+ of 81 layers on the GPU", plans["Large-Q4_0.gguf"]["how"])
    assert plans["Middle-Q4_0.gguf"]["fit"] == "whole"
    assert "Now Resident-7B would have to leave for it." in plans["Middle-Q4_0.gguf"]["notes"]


async def test_a_broken_header_costs_its_own_plan_alone(
    owner: User, repository: HubServer, box: HardwareProfile, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"<!doctype html><title>Sign in</title>" * 10)
    good = tmp_path / "remote" / "Tiny-Q4_0.gguf"
    repository.repositories[NAME].commit({"Tiny-Q4_0.gguf": good, "Tiny-Q5_0.gguf": broken})

    plans = by_key(await lines_of(owner))

    assert plans["Tiny-Q4_0.gguf"]["fit"] == "whole"
    assert plans["Tiny-Q5_0.gguf"]["fit"] == "unknown"
    assert "this is not a GGUF file" in plans["Tiny-Q5_0.gguf"]["how"]


async def test_one_failing_file_does_not_stop_the_others(
    owner: User, repository: HubServer, box: HardwareProfile
) -> None:
    repository.faults.add(ServerError(where="resolve", path="Tiny-Q4_0.gguf"), NoRanges())
    lines = await lines_of(owner)

    assert by_key(lines)["Tiny-Q4_0.gguf"]["how"].startswith("The Hub has a problem of its own (status 503)")
    assert lines[-1]["key"] == "Tiny-Q8_0.gguf"


async def test_nonsense_in_the_form_is_said(owner: User, repository: HubServer, box: HardwareProfile) -> None:
    (told,) = await lines_of(owner, ctx="many", slots=0)
    assert set(told["problems"]) == {"ctx", "slots"}


@pytest.mark.parametrize(
    ("than", "better"),
    [
        ("Q4_0", ["F16", "Q8_0"]),
        ("Q8_0", ["F16"]),
        ("F16", []),
        ("IQ2_XS", ["F16", "Q8_0"]),
        ("nonsense", []),
        ("", []),
    ],
)
def test_better_sources_to_requantize_from(member: Client, repository: HubServer, than: str, better: list[str]) -> None:
    told = member.get(f"{URL}sources.json", {"than": than}).json()
    assert [each["quantization"] for each in told["sources"]] == better


def test_no_answer_about_sources_is_told(member: Client, repository: HubServer) -> None:
    repository.faults.add(ServerError(where="repository"))
    response = member.get(f"{URL}sources.json", {"than": "Q4_0"})
    assert response.status_code == 502
    assert "problem of its own" in response.json()["detail"]


# gated, private, offline --------------------------------------------------------------------------------------


def test_a_gated_repository_says_so_and_takes_a_token(
    owner: User, staff: Client, member: Client, repository: HubServer
) -> None:
    gated = repository.repositories[NAME]
    gated.gated, gated.readers = True, {"friend"}
    repository.users = {"hf_of_a_friend": "friend"}

    assert "This repository is gated" in text_of(staff.get(URL))
    assert "Whoever runs this box can enter a token" in text_of(member.get(URL))
    response = staff.post(reverse("hub-token"), {"token": "hf_of_a_friend", "next": URL}, follow=True)

    told = response.content.decode()
    assert response.redirect_chain == [(URL, 302)]
    assert "token ending in <code>iend</code> is kept" in " ".join(told.split())
    assert "hf_of_a_friend" not in told
    assert token_for(repository.endpoint) == "hf_of_a_friend"
    staff.post(reverse("hub-token"), {"forget": "1", "next": "https://evil.example/"}, follow=True)
    assert token_for(repository.endpoint) is None


def test_a_token_that_the_hub_does_not_know_is_not_kept(staff: Client, repository: HubServer) -> None:
    repository.users = {"hf_of_a_friend": "friend"}
    url = reverse("hub-token")

    assert "The Hub knows it as friend" in text_of(staff.post(url, {"token": "hf_of_a_friend"}, follow=True))
    refused = staff.post(url, {"token": "hf_mistyped"}, follow=True)
    assert "does not accept this token" in text_of(refused)
    assert "hf_mistyped" not in refused.content.decode()
    assert "A token is one word" in text_of(staff.post(url, {"token": "two words"}, follow=True))
    assert token_for(repository.endpoint) == "hf_of_a_friend"


def test_a_token_entered_while_the_hub_is_away_is_kept_unasked(staff: Client, repository: HubServer) -> None:
    repository.faults.add(ServerError(where="account"))
    told = text_of(staff.post(reverse("hub-token"), {"token": "hf_entered_anyway"}, follow=True))

    assert "could not be asked" in told
    assert token_for(repository.endpoint) == "hf_entered_anyway"


async def test_without_a_token_a_gated_repository_is_asked_once(
    owner: User, repository: HubServer, box: HardwareProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.repositories[NAME].gated = True
    lines = await lines_of(owner)

    assert all("is gated" in plan["how"] for plan in by_key(lines).values())
    assert lines[-1]["key"] is None
    assert len(repository.seen("resolve")) <= hub_plans.HEADERS_AT_ONCE + 2


def test_what_is_private_is_shown_to_the_owner_of_the_token_alone(
    owner: User, staff: Client, member: Client, repository: HubServer
) -> None:
    private = repository.repositories[NAME]
    private.private, private.readers = True, {"friend"}
    repository.users = {"hf_of_a_friend": "friend"}
    set_token(repository.endpoint, "hf_of_a_friend", owner)

    assert "3 variants" in text_of(staff.get(URL))
    refused = member.get(URL)
    assert refused.status_code == 404
    assert "The Hub has no repository owner/Tiny-GGUF, or it is private and needs a token." in text_of(refused)
    assert "1 repository" in text_of(staff.get(reverse("hub-find"), {"q": "tiny"}))
    assert "Nothing on the Hub" in text_of(member.get(reverse("hub-find"), {"q": "tiny"}))


def test_offline_is_said_at_once_and_remembered_for_a_moment(staff: Client, settings: Any) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        settings.HUB_ENDPOINT = f"http://127.0.0.1:{bound.getsockname()[1]}"
        told = text_of(staff.get(reverse("hub-find"), {"q": "tiny"}))
        page = text_of(staff.get(URL))
        chat = staff.get("/hardware/")

    assert "cannot be reached" in told
    assert "Models on this box work on." in told
    assert "Try again" in told
    assert "cannot be reached" in page
    assert chat.status_code == 200


def test_after_a_silence_the_hub_is_asked_again_when_a_person_wishes(
    staff: Client, repository: HubServer, settings: Any
) -> None:
    endpoint = settings.HUB_ENDPOINT
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        remote_models._reach._silent[endpoint] = (remote_models._reach._clock(), "no route")
        assert "no route" in text_of(staff.get(URL))
    assert repository.seen() == []
    assert "3 variants" in text_of(staff.get(URL, {"again": "1"}))
    assert "3 variants" in text_of(staff.get(URL))


def test_a_sign_in_page_in_between_is_recognised(staff: Client, repository: HubServer) -> None:
    with repository.faults.during(CaptivePortal(times=None)):
        told = text_of(staff.get(reverse("hub-find"), {"q": "tiny"}))
    assert "is not a Hub" in told
    assert "sign-in page" in told


# fetching -----------------------------------------------------------------------------------------------------


def test_a_download_becomes_a_job_with_the_hubs_own_record(
    owner: User, staff: Client, repository: HubServer, tmp_path: Path
) -> None:
    revision = repository.repositories[NAME].head
    response = staff.post(DOWNLOAD, {"key": "Tiny-F16.gguf", "revision": revision}, follow=True)

    (job,) = Job.objects.all()
    assert (job.kind, job.created_by) == ("download", owner)
    files = sorted((tmp_path / "remote").glob("Tiny-F16-*"))
    assert job.spec == {
        "repository": NAME,
        "revision": revision,
        "name": "Tiny-F16",
        "files": [
            {
                "path": file.name,
                "size_bytes": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in files
        ],
    }
    told = text_of(response)
    assert "begun" in told
    assert "On its way" in told
    staff.post(DOWNLOAD, {"key": "Tiny-F16.gguf", "revision": revision})
    assert Job.objects.count() == 1


def test_what_is_refused_or_gone_is_not_downloaded(staff: Client, repository: HubServer) -> None:
    for key in ("../evil-Q4_0.gguf", "mmproj-Tiny-f16.gguf", "nothing.gguf", ""):
        told = text_of(staff.post(DOWNLOAD, {"key": key}, follow=True))
        assert "has no such variant" in told
    assert not Job.objects.exists()


def test_a_disk_without_room_is_said_instead_of_a_button(staff: Client, repository: HubServer, settings: Any) -> None:
    settings.DISK_RESERVE_BYTES = 1 << 60
    response = staff.get(URL)
    assert "The disk lacks" in text_of(response)
    assert DOWNLOAD not in response.content.decode()
