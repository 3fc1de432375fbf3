"""Finding models: who sees what, and what is said of it before anything is planned."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from models_app.hub.named import repository_named
from models_app.models import Job
from tests.hub import HubServer
from tests.web.hub.asking import DOWNLOAD, NAME, PLANS, URL
from tests.web.pages import text_of


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
    assert (response.status_code, response["Location"]) == (302, URL)
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
    assert (response.status_code, response["Location"]) == (302, URL)


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
