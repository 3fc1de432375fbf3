from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from models_app.catalog.register import add_model
from models_app.models import Repository, Shard, Variant
from tests.gguf_builder import SHAPES, build

pytestmark = pytest.mark.django_db

WISHES = {
    "n_ctx_seq": "2048",
    "n_seq_max": "2",
    "n_gpu_layers": "",
    "least_n_ctx_seq": "",
    "keep_alive_seconds": "60",
    "pinned": "on",
}
NO_SHARD_CHANGES = {
    f"{rows}-{name}_FORMS": "0"
    for rows in ("shards", "measurements", "quality")
    for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")
}


@pytest.fixture
def variant(tmp_path: Path) -> Variant:
    return add_model(build(tmp_path / "tiny-chat.gguf", SHAPES["tiny-gqa"], quantization="Q4_K_M")).variant


def page(client: Client, name: str, *arguments: Any, **query: str) -> str:
    response = client.get(reverse(f"admin:models_app_{name}", args=arguments), query)
    assert response.status_code == 200
    return response.content.decode()


def save(client: Client, variant: Variant, **fields: str) -> Any:
    url = reverse("admin:models_app_variant_change", args=[variant.pk])
    return client.post(url, {"name": variant.name, "enabled": "on", **WISHES, **NO_SHARD_CHANGES, **fields})


def test_the_list_shows_state_size_and_parameters(admin_client: Client, variant: Variant) -> None:
    text = page(admin_client, "variant_changelist")
    for expected in ("tiny-chat-Q4_K_M", "usable", "1.61 MiB", "Q4_K_M", "llama"):
        assert expected in text
    assert "2.62M" in page(admin_client, "variant_change", variant.pk)


def test_the_list_says_what_is_wrong_and_escapes_it(admin_client: Client, variant: Variant) -> None:
    Variant.objects.update(problem="<script>alert(1)</script>")
    text = page(admin_client, "variant_changelist")
    assert "files broken" in text
    assert "<script>alert(1)" not in text
    text = page(admin_client, "variant_change", variant.pk)
    assert "cannot be loaded: &lt;script&gt;" in text
    assert "<script>alert(1)" not in text
    Variant.objects.update(missing_since=timezone.now())
    assert "files missing" in page(admin_client, "variant_changelist")


def test_the_list_of_many_variants_costs_a_bounded_number_of_queries(
    admin_client: Client, variant: Variant, django_assert_max_num_queries: Any
) -> None:
    Variant.objects.bulk_create(
        [Variant(repository=variant.repository, name=f"v{number}", size_bytes=1) for number in range(90)]
    )
    with django_assert_max_num_queries(18):
        page(admin_client, "variant_changelist")


@pytest.mark.parametrize("availability", ["usable", "missing", "broken"])
def test_availability_can_be_filtered(availability: str, admin_client: Client, variant: Variant) -> None:
    repository = variant.repository
    Variant.objects.create(repository=repository, name="is-missing", missing_since=timezone.now())
    Variant.objects.create(repository=repository, name="is-broken", problem="cut short")
    text = page(admin_client, "variant_changelist", availability=availability)
    shown = {"usable": "tiny-chat-Q4_K_M", "missing": "is-missing", "broken": "is-broken"}
    for kind, name in shown.items():
        assert (f">{name}</span>" in text) == (kind == availability)


def test_search_finds_by_name_and_by_path(admin_client: Client, variant: Variant) -> None:
    for words, hits in (("tiny-chat", True), ("chat.gguf", True), ("nothing-like-it", False)):
        assert (f">{variant.name}</span>" in page(admin_client, "variant_changelist", q=words)) == hits


def test_facts_are_shown_and_cannot_be_edited(admin_client: Client, variant: Variant) -> None:
    text = page(admin_client, "variant_change", variant.pk)
    assert "Context of one slot" in text
    assert "The usual choice" in text
    assert variant.shards.get().path in text
    for field in ("architecture", "n_layers", "size_bytes", "quantization", "problem", "repository"):
        assert f'name="{field}"' not in text
    response = save(admin_client, variant, architecture="hacked", size_bytes="1", problem="no", path="/etc/passwd")
    assert response.status_code == 302
    fresh = Variant.objects.get()
    assert (fresh.architecture, fresh.problem, fresh.size_bytes) == ("llama", "", variant.size_bytes)
    assert fresh.shards.get().path == variant.shards.get().path


def test_wishes_can_be_edited(admin_client: Client, variant: Variant) -> None:
    assert save(admin_client, variant, name="renamed").status_code == 302
    fresh = Variant.objects.get()
    assert (fresh.name, fresh.n_ctx_seq, fresh.n_seq_max, fresh.pinned) == ("renamed", 2048, 2, True)
    assert (fresh.n_gpu_layers, fresh.keep_alive_seconds) == (None, 60)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_ctx_seq", "63"),
        ("n_ctx_seq", "4194305"),
        ("n_seq_max", "0"),
        ("n_seq_max", "65"),
        ("n_gpu_layers", "-1"),
        ("least_n_ctx_seq", "63"),
        ("least_n_ctx_seq", "4096"),
        ("n_gpu_layers", "10001"),
        ("keep_alive_seconds", "-1"),
        ("name", "with space"),
        ("name", "a/b"),
    ],
)
def test_wishes_out_of_range_are_refused(field: str, value: str, admin_client: Client, variant: Variant) -> None:
    response = save(admin_client, variant, **{field: value})
    assert response.status_code == 200
    assert field in response.context["adminform"].form.errors
    assert Variant.objects.get().n_ctx_seq == 4096


def test_variants_are_enabled_and_disabled_in_bulk(admin_client: Client, variant: Variant) -> None:
    url = reverse("admin:models_app_variant_changelist")
    for action, enabled in (("disable", False), ("enable", True)):
        admin_client.post(url, {"action": action, "_selected_action": [variant.pk]})
        variant.refresh_from_db()
        assert variant.enabled is enabled


def test_nothing_is_added_by_hand_and_no_shard_deleted_alone(admin_client: Client, variant: Variant) -> None:
    for model in ("variant", "repository", "shard"):
        assert admin_client.get(reverse(f"admin:models_app_{model}_add")).status_code == 403
    shard = variant.shards.get()
    assert (
        admin_client.post(reverse("admin:models_app_shard_delete", args=[shard.pk]), {"post": "yes"}).status_code == 403
    )
    assert Shard.objects.count() == 1


def test_a_variant_is_deleted_on_its_own_page_which_says_what_goes(admin_client: Client, variant: Variant) -> None:
    url = reverse("admin:models_app_variant_delete", args=[variant.pk])
    for method in (admin_client.get, admin_client.post):
        response = method(url)
        assert (response.status_code, response["Location"]) == (302, reverse("model-delete", args=[variant.name]))
    assert Variant.objects.exists()


def test_repositories_and_shards_have_pages(admin_client: Client, variant: Variant) -> None:
    text = page(admin_client, "repository_changelist")
    assert "1.61 MiB" in text
    assert variant.repository.name in text
    assert variant.shards.get().path in page(admin_client, "shard_changelist")
    page(admin_client, "repository_change", Repository.objects.get().pk)
    page(admin_client, "shard_change", Shard.objects.get().pk)


def test_only_staff_sees_any_of_it(client: Client, django_user_model: Any, variant: Variant) -> None:
    client.force_login(django_user_model.objects.create_user("visitor"))
    for name in ("variant_changelist", "repository_changelist", "shard_changelist"):
        assert client.get(reverse(f"admin:models_app_{name}")).status_code == 302


def test_no_form_shows_people_marks_that_only_a_programmer_reads() -> None:
    ours = ("models_app", "inference", "accounts")
    fields = [
        field for name in ours for model in apps.get_app_config(name).get_models() for field in model._meta.fields
    ]
    assert [str(field) for field in fields if "`" in str(field.help_text)] == []
