"""The inventory as the host reads and writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from inference.core.loads.options import BadOptions, LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.host.planning.database import DjangoInventory
from inference.host.planning.variant_source import DisabledVariant, InventoryUnavailable, UnknownVariant
from models_app.models import Repository, Shard, Variant

pytestmark = pytest.mark.django_db(transaction=True)
INVENTORY = DjangoInventory(keep_alive_seconds=900.0)


@pytest.fixture
def variant(tmp_path: Path) -> Variant:
    repository = Repository.objects.create(name=str(tmp_path), kind=Repository.Kind.FOLDER)
    variant = Variant.objects.create(
        repository=repository, name="one", size_bytes=30, kv_bytes_per_token=2, n_ctx_seq=128, n_seq_max=3
    )
    for number, size in ((2, 20), (1, 10)):
        path = tmp_path / f"one-{number}.gguf"
        path.write_bytes(b"x" * size)
        Shard.objects.create(variant=variant, number=number, path=str(path), size_bytes=size)
    return variant


async def test_facts_come_from_the_row_and_the_files(variant: Variant) -> None:
    facts = await INVENTORY.facts(ResidentId(variant.pk))
    assert facts.path.endswith("one-1.gguf")
    assert facts.size_bytes == 30
    assert facts.options == LoadOptions(n_ctx_seq=128, n_seq_max=3)
    assert facts.estimate_bytes == 30 + 2 * 128 * 3
    assert facts.keep_alive_seconds == 900.0
    assert not facts.pinned


async def test_a_changed_file_changes_the_fingerprint_and_a_missing_one_is_left_to_the_worker(variant: Variant) -> None:
    before = await INVENTORY.facts(ResidentId(variant.pk))
    assert (await INVENTORY.facts(ResidentId(variant.pk))).loads_like(before)
    path = Path(before.path)
    await sync_to_async(path.write_bytes)(b"y" * 11)
    changed = await INVENTORY.facts(ResidentId(variant.pk))
    assert not changed.loads_like(before)
    assert changed.size_bytes == 31
    await sync_to_async(path.unlink)()
    missing = await INVENTORY.facts(ResidentId(variant.pk))
    assert (missing.fingerprint, missing.size_bytes) == ("missing", 30)


async def test_its_own_keep_alive_goes_before_the_boxes(variant: Variant) -> None:
    await Variant.objects.filter(pk=variant.pk).aupdate(keep_alive_seconds=0)
    assert (await INVENTORY.facts(ResidentId(variant.pk))).keep_alive_seconds == 0


async def test_what_cannot_be_used_says_why(variant: Variant) -> None:
    with pytest.raises(UnknownVariant):
        await INVENTORY.facts(ResidentId(variant.pk + 1))
    await Variant.objects.filter(pk=variant.pk).aupdate(n_ctx_seq=1)
    with pytest.raises(BadOptions, match="n_ctx_seq=1"):
        await INVENTORY.facts(ResidentId(variant.pk))
    await Variant.objects.filter(pk=variant.pk).aupdate(enabled=False)
    with pytest.raises(DisabledVariant) as refused:
        await INVENTORY.facts(ResidentId(variant.pk))
    assert refused.value.variant_id == variant.pk


async def test_a_variant_without_a_file_is_unknown(variant: Variant) -> None:
    await Shard.objects.all().adelete()
    with pytest.raises(UnknownVariant):
        await INVENTORY.facts(ResidentId(variant.pk))


async def test_pins_and_uses_are_written(variant: Variant) -> None:
    await INVENTORY.set_pinned(variant.pk, True)
    await INVENTORY.used(variant.pk)
    stored = await Variant.objects.aget(pk=variant.pk)
    assert stored.pinned
    assert stored.last_used_at is not None
    with pytest.raises(UnknownVariant):
        await INVENTORY.set_pinned(variant.pk + 1, True)


async def test_a_database_without_its_table_is_unavailable_not_a_crash(variant: Variant) -> None:
    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    await sync_to_async(rename)("models_app_variant", "moved_away")
    try:
        with pytest.raises(InventoryUnavailable):
            await INVENTORY.facts(ResidentId(variant.pk))
    finally:
        await sync_to_async(rename)("moved_away", "models_app_variant")
