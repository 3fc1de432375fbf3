"""A host in this process, with fake workers and an inventory in memory: the fixed cast of the host's tests."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import VariantFacts
from inference.core.scheduling.refusals import NoStorage
from inference.host.api.client import HostClient, HostRefusal, Lease
from inference.host.api.messages import HostStatus, ResidentVariant, resident_id_of
from inference.host.planning.imatrix_load import facts_to_read
from inference.host.planning.load_record import LoadMeasured
from inference.host.planning.variant_source import DisabledVariant, InventoryUnavailable, UnknownVariant, UnusableFile
from inference.host.run_dir import RunDir
from inference.host.run_loop import Host, HostOptions
from inference.host.server import Server
from inference.host.telemetry.sample import RamReading, Reading
from inference.host.telemetry.sampler import Telemetry
from inference.wording import names, refusals, waits

FAKE_WORKER = (sys.executable, "-m", "tests.host.fake_worker")
DEADLINE_SECONDS = 30.0


@dataclass
class MemoryInventory:
    """The inventory as the host sees it, without a database."""

    rows: dict[int, VariantFacts] = field(default_factory=dict)
    disabled: set[int] = field(default_factory=set)
    unusable: dict[int, str] = field(default_factory=dict)
    """Why, by variant."""
    unforeseen: set[int] = field(default_factory=set)
    is_down: bool = False
    uses: list[int] = field(default_factory=list)
    loads: list[LoadMeasured] = field(default_factory=list)
    owned: tuple[Pool, ...] = ()
    reads: int = 0

    async def facts(self, resident_id: ResidentId) -> VariantFacts:
        variant_id, purpose = resident_id.variant_id, resident_id.purpose
        self.reads += 1
        if self.is_down:
            raise InventoryUnavailable(NoStorage("database", "database is locked"))
        if variant_id not in self.rows:
            raise UnknownVariant(variant_id)
        if variant_id in self.disabled:
            raise DisabledVariant(variant_id)
        if variant_id in self.unusable:
            raise UnusableFile(self.unusable[variant_id])
        if variant_id in self.unforeseen:
            raise ZeroDivisionError("of a header")
        facts = self.rows[variant_id]
        return facts_to_read(facts) if purpose == "imatrix" else facts

    async def pools(self) -> tuple[Pool, ...]:
        return self.owned

    async def set_pinned(self, variant_id: int, pinned: bool) -> None:
        if variant_id not in self.rows:
            raise UnknownVariant(variant_id)
        self.rows[variant_id] = replace(self.rows[variant_id], pinned=pinned)

    async def used(self, variant_id: int) -> None:
        self.uses.append(variant_id)

    async def record(self, load: LoadMeasured) -> None:
        self.loads.append(load)


class Box:
    """One running host. `add` puts variants on the shelf; `client` speaks to it over its real socket."""

    def __init__(self, folder: Path, host: Host, server: Server, inventory: MemoryInventory, socket: str) -> None:
        self.folder = folder
        self.host = host
        self.server = server
        self.inventory = inventory
        self.socket = socket
        self.client = HostClient(socket)

    def add(
        self,
        name: str,
        size_bytes: int = 100,
        n_seq_max: int = 2,
        keep_alive_seconds: float | None = None,
        **script: Any,
    ) -> int:
        variant_id = len(self.inventory.rows) + 1
        path = self.folder / f"{name}.gguf"
        # Measured as estimated, unless the script says otherwise.
        path.write_text(json.dumps({"weights_bytes": size_bytes - 2, **script}))
        self.inventory.rows[variant_id] = VariantFacts(
            ResidentId(variant_id),
            name,
            str(path),
            size_bytes,
            kv_bytes_per_token=0,
            options=LoadOptions(n_ctx_seq=64, n_seq_max=n_seq_max),
            keep_alive_seconds=keep_alive_seconds,
        )
        return variant_id

    def rewrite(self, variant_id: int, fingerprint: str = "new", **script: Any) -> None:
        """Another file under the same name. With fingerprint="" nobody notices."""
        facts = self.inventory.rows[variant_id]
        Path(facts.path).write_text(json.dumps(script))
        self.inventory.rows[variant_id] = replace(facts, fingerprint=fingerprint)

    def name(self, resident_id: ResidentId) -> str:
        """As whoever runs the box reads it."""
        name = self.inventory.rows[resident_id.variant_id].name
        return names.reading(name) if resident_id.purpose == "imatrix" else name

    def words(self, refusal: HostRefusal) -> str:
        return refusals.sentence(refusal.facts, refusal.resident_id, self.name)

    def waits(self, status: HostStatus) -> list[str]:
        """What everybody who waits reads."""
        return [waits.of(each["wait"], self.name) for each in status["queue"]]

    async def resident(self, variant_id: int) -> ResidentVariant | None:
        status = await self.client.status()
        return next((each for each in status["residents"] if resident_id_of(each) == ResidentId(variant_id)), None)

    async def until(self, condition: Callable[[HostStatus], bool]) -> HostStatus:
        """The first status that meets `condition`."""

        async def look() -> HostStatus:
            async for status in self.client.watch():
                if condition(status):
                    return status
            raise AssertionError("the host ended")

        return await asyncio.wait_for(look(), DEADLINE_SECONDS)


def ram(budget_bytes: int = 1000, foreign_bytes: int = 0) -> Pool:
    return Pool(RAM, "RAM", 2000, budget_bytes, foreign_bytes=foreign_bytes)


class QuietMachine:
    """A machine of which nothing is known."""

    def read(self, pids: Iterable[int]) -> Reading:
        return Reading(RamReading())

    def close(self) -> None: ...


async def start_box(stack: AsyncExitStack, folder: Path, budget_bytes: int = 1000, **options: Any) -> Box:
    run_dir = RunDir(str(folder / "host.sock"), folder / "host.lock")
    run_dir.lock()
    stack.callback(run_dir.close)
    inventory = MemoryInventory()
    host = Host(
        HostOptions(
            (ram(budget_bytes),),
            folder / "logs",
            **{"worker_argv": FAKE_WORKER, "prestart_after_seconds": math.inf, **options},
        ),
        inventory,
        run_dir,
    )
    server = Server(host, Telemetry(host, QuietMachine()))
    await server.start(run_dir.socket_path)
    running = asyncio.ensure_future(host.run())

    async def end() -> None:
        try:
            host.shutdown(0.0)
            await asyncio.wait_for(running, DEADLINE_SECONDS)
        finally:
            await server.close()

    stack.push_async_callback(end)
    return Box(folder, host, server, inventory, run_dir.socket_path)


async def ready(lease: Lease) -> list[dict[str, Any]]:
    """Waits until the lease is granted; returns what was told until then."""

    async def exhaust() -> list[dict[str, Any]]:
        return [dict(event) async for event in lease.waiting()]

    return await asyncio.wait_for(exhaust(), DEADLINE_SECONDS)


async def say(box: Box, variant_id: int, prompt: str, user: str = "ann") -> str:
    """One whole answer of a variant."""
    async with box.client.lease(variant_id=variant_id, user=user, request_id="r") as lease:
        await ready(lease)
        text = ""
        async for event in lease.generate(request_id="r", owner=user, options=GenerationOptions(), prompt=prompt):
            if event["type"] == "token":
                text += event["text"]
        return text
