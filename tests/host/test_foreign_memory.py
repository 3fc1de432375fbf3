"""Other programs take memory: seen by telemetry, counted by the ledger, and given back to models when it is free again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inference.core.loads.devices import RAM
from inference.core.scheduling.memory.ledger import Pool
from inference.host.telemetry.sample import SETTLED_SAMPLES, RamReading, Reading
from inference.host.telemetry.sampler import Telemetry
from tests.host.cast import Box

GIB = 1 << 30


class Scripted:
    """A machine with 8 GiB, on which a game takes what the test says."""

    game_bytes = 0

    def read(self, pids: Iterable[int], bus_ids: Mapping[str, str]) -> Reading:
        return Reading(RamReading(available_bytes=8 * GIB - self.game_bytes))

    def close(self) -> None: ...


async def test_an_idle_model_leaves_for_a_game_and_comes_back_when_somebody_asks_after_it(box: Box) -> None:
    machine = Scripted()
    telemetry = Telemetry(box.host, machine, box.host.set_foreign, box.host.note_processes)
    box.host.set_pools([Pool(RAM, "RAM", 8 * GIB, 6 * GIB, reserve_bytes=GIB)])
    variant_id = box.add("large", size_bytes=5 * GIB)
    await box.client.load(variant_id)

    async def plays(game_bytes: int) -> None:
        machine.game_bytes = game_bytes
        for _ in range(SETTLED_SAMPLES):
            await telemetry.sample()

    await plays(GIB)
    assert await box.resident(variant_id) is not None, "beside the game there is room"
    await plays(3 * GIB)
    await box.until(lambda status: not status["residents"])
    assert (await box.client.preview(variant_id)).outcome in ("waits", "cannot")

    await plays(0)
    await box.client.load(variant_id)
    assert await box.resident(variant_id) is not None
    kinds = [each["decision"].kind for each in box.host.decisions()]
    assert kinds.index("pause") < kinds.index("evict") < kinds.index("resume")
