"""What a load really took: counted in the ledger, and kept for the next plan."""

from __future__ import annotations

from inference.core.ledger import RAM, Pool
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


async def test_what_a_worker_comes_to_hold_of_a_card_while_it_answers_is_kept_for_the_next_plan(box: Box) -> None:
    """CUDA's pools and libraries take their memory with the first long prompt."""
    card = Pool("gpu0", "NVIDIA GeForce RTX 3060", 12288 * MIB, 11673 * MIB)
    box.host.set_pools([Pool(RAM, "RAM", 4096 * MIB, 2048 * MIB), card])
    variant_id = box.add("small", size_bytes=100, gpu_weights_bytes=1000 * MIB - 2)
    await box.client.load(variant_id)
    resident = await box.resident(variant_id)
    assert resident is not None
    for held_mib in (1500, 1510, 1540, 1550, 1400, 1545, 1700):
        box.host.note_processes({RAM: {}, "gpu0": {resident["pid"] or 0: held_mib * MIB}})

    def overheads() -> list[int | None]:
        return [load.devices["gpu0"].overhead_bytes for load in box.inventory.loads]

    await box.until(lambda _: overheads()[-1] == 700 * MIB)
    assert overheads() == [None, 500 * MIB, 540 * MIB, 700 * MIB]


async def test_an_edited_budget_is_read_again_and_foreign_memory_stays(box: Box) -> None:
    box.host.set_foreign({RAM: 300, "gpu7": 5})
    box.inventory.owned = (Pool(RAM, "RAM", 2000, 700),)
    await box.client.profile_changed()
    assert box.host.pools() == (Pool(RAM, "RAM", 2000, 700, foreign_bytes=300),)
