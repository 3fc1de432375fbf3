"""A file whose header is impossible is refused before any worker starts, and before anybody has to leave for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.refusals import FailedToLoad
from inference.host.api.client import HostRefusal
from inference.host.planning.database import DjangoInventory
from inference.host.planning.variant_source import UnusableFile
from inference.host.planning.ways import Planning
from models_app.catalog.register import add_model
from tests.gguf_builder import SHAPES, build
from tests.host.cast import Box, ready


async def test_whoever_wants_it_hears_why_at_once(box: Box) -> None:
    broken, detail = box.add("broken", 100), "x.gguf is damaged or not a GGUF: llama.block_count is 0."
    box.inventory.unusable[broken] = detail
    for ask in (lease, lambda box, pk: box.client.load(pk), lambda box, pk: box.client.preview(pk)):
        with pytest.raises(HostRefusal) as refused:
            await ask(box, broken)
        assert refused.value.facts == FailedToLoad("bad_file", detail)
    await box.client.pin(broken, True)
    await box.client.unload(broken)


async def test_a_reading_that_fails_is_answered_too(box: Box) -> None:
    odd = box.add("odd", 100)
    box.inventory.unforeseen.add(odd)
    with pytest.raises(HostRefusal) as refused:
        await lease(box, odd)
    assert isinstance(refused.value.facts, FailedToLoad)
    assert "ZeroDivisionError" in refused.value.facts.detail


async def lease(box: Box, variant_id: int) -> None:
    async with box.client.lease(variant_id=variant_id, user="anna", request_id="r1") as lease:
        await ready(lease)


@pytest.mark.django_db(transaction=True)
async def test_the_inventory_reads_the_header_before_it_plans(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    variant = (await sync_to_async(add_model)(build(path, SHAPES["tiny-gqa"]))).variant
    inventory = DjangoInventory(900.0, Planning(EngineDevices()))
    assert (await inventory.facts(ResidentId(variant.pk))).load_ways
    build(path, SHAPES["tiny-gqa"], metadata={"llama.block_count": 0})
    with pytest.raises(UnusableFile, match=r"x\.gguf is damaged or not a GGUF: llama\.block_count is 0"):
        await inventory.facts(ResidentId(variant.pk))
