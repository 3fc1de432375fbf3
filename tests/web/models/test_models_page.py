"""The inventory's page through Django's client: what it shows, to whom, and what it costs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inference.models import Conversation
from inference.web.models import views
from inference.web.models.variant_page import recipe_words
from models_app.catalog import register
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB
from models_app.models import HardwareProfile, Job, Repository, Shard, Variant
from tests.gguf_builder import CHAT_TEMPLATE, SHAPES, build
from tests.web.fake_host import resident
from tests.web.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def box() -> HardwareProfile:
    return HardwareProfile.objects.create(
        name="this machine",
        is_this_machine=True,
        gpus=[{"name": "RTX 3060", "memory_bytes": 12 * GIB, "bandwidth_bytes_per_second": 360 * 10**9}],
        ram_bytes=64 * GIB,
        ram_bandwidth_bytes_per_second=60 * 10**9,
        n_cores=8,
    )


@pytest.fixture
def visitor(client: Client) -> Client:
    client.force_login(User.objects.create_user("visitor"))
    return client


@pytest.fixture
def owner() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("owner", is_staff=True))
    return client


@pytest.fixture
def tiny(tmp_path: Path, box: HardwareProfile) -> Variant:
    """A chat model that is a hole in the disk but for its header."""
    template = {"tokenizer.chat_template": CHAT_TEMPLATE}
    path = build(tmp_path / "tiny-chat.gguf", SHAPES["tiny-gqa"], quantization="Q4_K_M", metadata=template)
    return add_model(path).variant


def names(response: Any) -> list[str]:
    return [row.name for row in response.context["rows"]]


def test_nobody_sees_it_without_a_login(client: Client) -> None:
    for url in (reverse("models"), reverse("models-plans"), reverse("model", args=["m"])):
        assert client.get(url).status_code == 302


def test_an_empty_inventory_says_what_to_do(visitor: Client, owner: Client, box: HardwareProfile) -> None:
    told = owner.get(reverse("models"))
    assert "Search the Hub above" in text_of(told)
    for name in ("hub-find", "model-add"):
        assert reverse(name) in told.content.decode()
    assert "Whoever runs this box can add one." in text_of(visitor.get(reverse("models")))


def test_a_row_tells_what_it_is_and_who_uses_it(visitor: Client, tiny: Variant) -> None:
    for title in ("one", "two"):
        Conversation.objects.create(owner=User.objects.get(username="visitor"), variant=tiny, title=title)
    told = text_of(visitor.get(reverse("models")))
    for expected in ("tiny-chat-Q4_K_M", "The usual choice", "1.61 MiB", "llama · 2.62M", "on disk"):
        assert expected in told
    assert "2 conversations of 1 person" in told
    assert "one" not in told.split()


def test_residency_is_as_the_host_tells(visitor: Client, tiny: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    host = {"residents": [resident(tiny.pk, tiny.name, state="loading")]}
    monkeypatch.setattr(views, "status_for", lambda user: host)
    assert 'data-state="loading">loading' in visitor.get(reverse("models")).content.decode()
    assert names(visitor.get(reverse("models"), {"state": "memory"})) == [tiny.name]
    host["residents"] = []
    assert names(visitor.get(reverse("models"), {"state": "memory"})) == []


def test_a_plan_is_worked_out_once_and_then_painted_by_the_server(visitor: Client, tiny: Variant) -> None:
    assert "data-plan>" in visitor.get(reverse("models")).content.decode()
    found = visitor.get(reverse("models-plans"), {"ids": f"{tiny.pk},999,x"}).json()
    assert found.keys() == {str(tiny.pk)}
    assert (found[str(tiny.pk)]["fit"], found[str(tiny.pk)]["words"]) == ("whole", "fits")
    page = visitor.get(reverse("models")).content.decode()
    assert "data-plan>" not in page
    assert 'data-fit="whole"' in page


def test_a_plan_is_worked_out_anew_when_wishes_machine_or_files_change(visitor: Client, tiny: Variant) -> None:
    def is_known() -> bool:
        return "data-plan>" not in visitor.get(reverse("models")).content.decode()

    for change in (
        lambda: None,
        lambda: Variant.objects.update(n_ctx_seq=2048),
        lambda: HardwareProfile.objects.update(gpus=[]),
        lambda: Shard.objects.update(mtime_ns=1),
    ):
        change()
        assert not is_known()
        visitor.get(reverse("models-plans"), {"ids": str(tiny.pk)})
        assert is_known()


def test_what_does_not_fit_and_what_cannot_be_read_says_so(visitor: Client, tiny: Variant, tmp_path: Path) -> None:
    big = add_model(build(tmp_path / "llama-70b.gguf", SHAPES["llama-70b"], quantization="Q8_0")).variant
    HardwareProfile.objects.update(ram_bytes=4 * GIB)
    Path(tiny.shards.get().path).unlink()
    found = visitor.get(reverse("models-plans"), {"ids": f"{tiny.pk},{big.pk}"}).json()
    missing = visitor.get(reverse("models-plans"), {"ids": f"{tiny.pk},{big.pk}"}).json()
    found |= missing
    assert found[str(big.pk)]["words"] == "does not fit"
    assert "GiB" in found[str(big.pk)]["detail"]
    assert (found[str(tiny.pk)]["fit"], found[str(tiny.pk)]["speed"]) == ("unknown", "")
    assert "missing" in found[str(tiny.pk)]["detail"]


@pytest.fixture
def many(box: HardwareProfile) -> None:
    folder = Repository.objects.create(name="/srv/models", kind="folder")
    rows = (
        ("alpha-Q4_K_M", "llama", "Q4_K_M", 3, {}),
        ("beta-Q8_0", "qwen3", "Q8_0", 9, {"pinned": True, "licence": "apache-2.0"}),
        ("gamma-Q4_K_M", "qwen3", "Q4_K_M", 1, {"enabled": False}),
        ("delta", "gemma3", "", 7, {"missing_since": timezone.now()}),
        ("epsilon", "gemma3", "", 8, {"problem": "cut short", "tags": ["poetry"]}),
    )
    for name, architecture, quantization, size_bytes, facts in rows:
        Variant.objects.create(
            repository=folder,
            name=name,
            architecture=architecture,
            quantization=quantization,
            size_bytes=size_bytes,
            **facts,
        )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["alpha-Q4_K_M", "beta-Q8_0", "delta", "epsilon", "gamma-Q4_K_M"]),
        ({"q": "q4 QWEN"}, ["gamma-Q4_K_M"]),
        ({"q": "poetry"}, ["epsilon"]),
        ({"q": "apache"}, ["beta-Q8_0"]),
        ({"q": "\0%"}, []),
        ({"architecture": "gemma3"}, ["delta", "epsilon"]),
        ({"quantization": "Q8_0"}, ["beta-Q8_0"]),
        ({"state": "usable"}, ["alpha-Q4_K_M", "beta-Q8_0"]),
        ({"state": "disabled"}, ["gamma-Q4_K_M"]),
        ({"state": "missing"}, ["delta"]),
        ({"state": "broken"}, ["epsilon"]),
        ({"state": "pinned"}, ["beta-Q8_0"]),
        ({"state": "no such", "order": "size"}, ["beta-Q8_0", "epsilon", "delta", "alpha-Q4_K_M", "gamma-Q4_K_M"]),
    ],
)
def test_the_list_is_searched_filtered_and_ordered(
    visitor: Client, many: None, query: dict[str, str], expected: list[str]
) -> None:
    response = visitor.get(reverse("models"), query)
    assert names(response) == expected
    if not expected:
        assert "No model is like that." in text_of(response)


def test_five_hundred_variants_cost_as_many_queries_as_one(
    visitor: Client, box: HardwareProfile, django_assert_max_num_queries: Any
) -> None:
    folder = Repository.objects.create(name="/srv/models", kind="folder")
    variants = Variant.objects.bulk_create(
        [Variant(repository=folder, name=f"v{number}-Q4_K_M", size_bytes=1) for number in range(500)]
    )
    Shard.objects.bulk_create([Shard(variant=each, path=f"/srv/models/{each.name}", size_bytes=1) for each in variants])
    with django_assert_max_num_queries(11):
        assert len(names(visitor.get(reverse("models")))) == 500


# one variant --------------------------------------------------------------------------------------------------


def test_a_variants_page_tells_header_plan_files_and_use(visitor: Client, owner: Client, tiny: Variant) -> None:
    shard = tiny.shards.get()
    Conversation.objects.create(owner=User.objects.get(username="visitor"), variant=tiny)
    told = text_of(visitor.get(reverse("model", args=[tiny.name])))
    for expected in (
        "Architecture llama",
        "Parameters 2.62M",
        "Attention heads",
        "The usual choice",
        "on the GPU",
        "Chat template yes",
        "{% for message in messages %}",
        "1 conversation of 1 person",
        "Never used.",
        "Found in the folder",
        "Nothing yet. What a load takes",
    ):
        assert expected in told, expected
    assert (shard.path in told, Path(shard.path).name in told) == (False, True)
    theirs = text_of(owner.get(reverse("model", args=[tiny.name])))
    assert shard.path in theirs
    assert "visitor (1)" in theirs
    assert ("Settings" in theirs, "Settings" in told) == (True, False)


def test_a_variant_whose_file_is_gone_still_has_a_page(visitor: Client, tiny: Variant) -> None:
    Path(tiny.shards.get().path).unlink()
    response = visitor.get(reverse("model", args=[tiny.name]))
    assert response.status_code == 200
    assert "cannot be planned: the file tiny-chat.gguf is missing." in text_of(response)


def test_a_name_that_is_nobodys_is_not_found(visitor: Client, box: HardwareProfile) -> None:
    assert visitor.get(reverse("model", args=["nobody"])).status_code == 404


def settings_of(client: Client, variant: Variant) -> dict[str, str]:
    """The form as a person would send it unchanged."""
    form = client.get(reverse("model", args=[variant.name])).context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {
        name: "on" if value is True else str(value) for name, value in values.items() if value not in (None, False, [])
    }


def save(client: Client, variant: Variant, sent: dict[str, str], **changed: str) -> Any:
    return client.post(reverse("model", args=[variant.name]), {**sent, **changed}, follow=True)


def test_settings_are_saved_told_and_remembered(owner: Client, tiny: Variant) -> None:
    sent = settings_of(owner, tiny)
    del sent["may_leave_gpu"]
    response = save(owner, tiny, sent, name="renamed", n_ctx_seq="2048", keep_alive_seconds="60")
    tiny.refresh_from_db()
    assert (tiny.name, tiny.n_ctx_seq, tiny.keep_alive_seconds, tiny.may_leave_gpu) == ("renamed", 2048, 60, False)
    assert (tiny.may_quantize_kv, tiny.enabled, tiny.n_gpu_layers) == (True, True, None)
    assert response.redirect_chain == [("/models/renamed/", 302)]
    told = text_of(response)
    assert told.count("Context of one slot: 4096 → 2048") == 2  # just now, and in the history
    assert "Unload after, in seconds: default → 60" in told
    assert "May leave the gpu: yes → no" in told
    assert "owner," in told


def test_saving_what_is_stored_is_no_change(owner: Client, tiny: Variant) -> None:
    told = text_of(save(owner, tiny, settings_of(owner, tiny)))
    assert "Nothing was changed." in told
    assert "Nobody has changed it yet." in told


def test_the_slower_of_two_people_is_told_and_overwrites_nothing(owner: Client, tiny: Variant) -> None:
    sent = settings_of(owner, tiny)
    save(owner, tiny, sent, n_ctx_seq="1024")
    response = save(owner, tiny, sent, n_ctx_seq="2048")
    assert response.status_code == 409
    assert "Somebody changed this meanwhile." in text_of(response)
    assert response.context["form"]["n_ctx_seq"].value() == 1024
    tiny.refresh_from_db()
    assert tiny.n_ctx_seq == 1024


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "a/b", "Letters, digits"),
        ("name", "taken", "already exists"),
        ("n_ctx_seq", "7", "greater than or equal to 64"),
        ("least_n_ctx_seq", "8192", "More than the preferred context."),
        ("n_seq_max", "65", "less than or equal to 64"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_the_field(
    owner: Client, tiny: Variant, field: str, value: str, says: str
) -> None:
    Variant.objects.create(repository=tiny.repository, name="taken")
    response = save(owner, tiny, settings_of(owner, tiny), **{field: value})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert says in text_of(response)
    assert response.context["variant"].name == tiny.name


def test_only_staff_changes_anything(visitor: Client, owner: Client, tiny: Variant) -> None:
    assert save(visitor, tiny, settings_of(owner, tiny), n_ctx_seq="2048").status_code == 403
    for method in (visitor.get, visitor.post):
        assert method(reverse("model-delete", args=[tiny.name])).status_code == 403
    tiny.refresh_from_db()
    assert tiny.n_ctx_seq == 4096


def test_what_is_shown_is_escaped(owner: Client, tiny: Variant) -> None:
    Variant.objects.update(problem="<script>alert(1)</script>", licence="<b>", tags=["<i>"])
    for url in (reverse("models"), reverse("model", args=[tiny.name])):
        page = owner.get(url).content.decode()
        assert "&lt;script&gt;" in page
        assert not re.search(r"<script>alert|<b>|<i>", page)


def test_plans_are_asked_for_by_numbers_alone(visitor: Client, tiny: Variant) -> None:
    for ids in ("", "x", "-1", "9" * 40, "²"):
        assert json.loads(visitor.get(reverse("models-plans"), {"ids": ids}).content) == {}


def test_verifying_is_a_job_that_the_page_then_shows(visitor: Client, owner: Client, tiny: Variant) -> None:
    url = reverse("model-verify", args=[tiny.name])
    assert visitor.post(url).status_code == 403
    told = text_of(owner.post(url, follow=True))
    job = Job.objects.get()
    assert (job.kind, job.variant_id, job.created_by) == ("verify", tiny.pk, User.objects.get(username="owner"))
    assert f"Verify {tiny.name}" in told
    assert f"Job begun: Verify {tiny.name}." in told
    owner.post(url)
    assert Job.objects.count() == 1


@pytest.mark.parametrize("name", ["find", "Hub", "upload", "add"])
def test_a_name_that_is_another_pages_address_is_refused(owner: Client, tiny: Variant, name: str) -> None:
    response = save(owner, tiny, settings_of(owner, tiny), name=name)
    assert response.status_code == 422
    assert "is the address of another page" in text_of(response)


def test_a_file_of_such_a_name_becomes_another(box: HardwareProfile, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(register, "readable_name", lambda found: "find")
    assert add_model(build(tmp_path / "find.gguf", SHAPES["tiny-gqa"])).variant.name == "find-2"


def test_a_recipe_tells_the_choices_that_were_made() -> None:
    plain = {"type": "Q4_K_M", "output_type": None, "embedding_type": None, "pure": False, "keep_split": False}
    assert recipe_words({**plain, "imatrix": None, "engine": "0.3.36"}) == "Q4_K_M, made by llama-cpp-python 0.3.36"
    chosen = {**plain, "output_type": "q8_0", "pure": True, "keep_split": True, "imatrix": "m.imatrix.gguf"}
    assert recipe_words(chosen) == "Q4_K_M, output q8_0, with m.imatrix.gguf, pure, split as its source"
