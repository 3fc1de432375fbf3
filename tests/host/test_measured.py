"""What a load really took: counted in the ledger, and kept for the next plan."""

from __future__ import annotations

from inference.core.loads.devices import RAM
from inference.core.scheduling.memory.ledger import Pool
from tests.host.cast import Box

MIB = 1 << 20


async def test_the_drivers_figure_for_a_process_replaces_its_buffers(box: Box) -> None:
    box.host.set_pools([Pool(RAM, "RAM", 4096 * MIB, 2048 * MIB)])
    variant_id = box.add("small", size_bytes=100)
    await box.client.load(variant_id)
    resident = await box.resident(variant_id)
    assert resident is not None
    assert resident["reserved_bytes"] == 100
    await box.until(lambda _: len(box.inventory.loads) == 1)
    assert box.inventory.loads[0].devices[RAM].overhead_bytes is None

    async def tell(n_bytes: int) -> int:
        box.host.note_processes({RAM: {resident["pid"] or 0: n_bytes, 1: 7 * MIB}, "gpu0": {}})
        now = await box.resident(variant_id)
        assert now is not None
        return now["reserved_bytes"]

    assert await tell(64 * MIB) == 64 * MIB
    assert await tell(65 * MIB) == 64 * MIB, "memory that comes and goes by a little is no news"
    assert await tell(100 * MIB) == 100 * MIB
    assert await tell(10) == 100, "a buffer that was not touched yet may be at any moment"
    assert [load.devices[RAM].overhead_bytes for load in box.inventory.loads] == [None, 64 * MIB - 100]


async def test_what_a_worker_grows_to_on_a_card_is_kept_for_the_next_load(box: Box) -> None:
    """Kernels take memory for themselves with the first long prompts, seconds after the first sample."""
    box.host.set_pools([Pool(RAM, "RAM", 4096 * MIB, 2048 * MIB), Pool("gpu0", "card", 4096 * MIB, 2048 * MIB)])
    variant_id = box.add("small", size_bytes=100, device="gpu0")
    await box.client.load(variant_id)
    resident = await box.resident(variant_id)
    assert resident is not None
    for n_bytes in (500 * MIB, 612 * MIB, 550 * MIB):
        box.host.note_processes({"gpu0": {resident["pid"] or 0: n_bytes}})
    now = await box.resident(variant_id)
    assert now is not None
    assert now["bytes_by_device"]["gpu0"] == 550 * MIB
    await box.until(lambda _: len(box.inventory.loads) == 3)
    overheads = [load.devices["gpu0"].overhead_bytes for load in box.inventory.loads]
    assert overheads == [None, 500 * MIB - 100, 612 * MIB - 100]


async def test_an_edited_budget_is_read_again_and_foreign_memory_stays(box: Box) -> None:
    box.host.set_foreign({RAM: 300, "gpu7": 5})
    box.inventory.owned = (Pool(RAM, "RAM", 2000, 700),)
    await box.client.profile_changed()
    assert box.host.pools() == (Pool(RAM, "RAM", 2000, 700, foreign_bytes=300),)
