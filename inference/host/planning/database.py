"""The inventory in the database: the one place where the host touches it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone

from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import VariantFacts
from inference.core.scheduling.refusals import NoStorage
from inference.host.planning.dry_runs import DryRuns
from inference.host.planning.imatrix_load import facts_to_read
from inference.host.planning.load_record import LoadMeasured
from inference.host.planning.variant_source import DisabledVariant, InventoryUnavailable, UnknownVariant
from inference.host.planning.ways import Planning, VariantPlan
from models_app.hardware.stored import BadDevices
from models_app.models import Variant

_T = TypeVar("_T")
MISSING = "missing"
"""The fingerprint of a variant whose files are not all there."""


class DjangoInventory:
    """An inventory.Inventory, read in a thread: no query ever holds up the event loop."""

    def __init__(
        self, keep_alive_seconds: float | None, planning: Planning | None = None, dry_runs: DryRuns | None = None
    ) -> None:
        """Without `planning` variants are known by their sizes alone and load into RAM, as their options say."""
        self._keep_alive_seconds = keep_alive_seconds
        self._planning = planning
        self._dry_runs = dry_runs

    async def facts(self, resident_id: ResidentId) -> VariantFacts:
        """Waits for a dry run only where the header does not tell; where only buffers are unknown, one runs behind it."""
        facts, plan = await _in_thread(lambda: self._read(resident_id))
        if self._dry_runs is None or not plan.wants_dry_run:
            return facts
        task = self._dry_runs.start(Path(facts.path), plan.ways[0].options, plan.dry_run_keys[0], self._keep_dry_run)
        if plan.unknown is None or task is None or not await task:
            return facts
        return (await _in_thread(lambda: self._read(resident_id)))[0]

    async def pools(self) -> tuple[Pool, ...]:
        """To be asked only where there is planning."""
        planning = self._planning
        assert planning is not None
        return await _in_thread(planning.pools)

    async def record(self, load: LoadMeasured) -> None:
        planning = self._planning
        if planning is not None:
            await _in_thread(lambda: planning.record(load))

    async def _keep_dry_run(self, key: str, compute_bytes: Mapping[str, int]) -> None:
        planning = self._planning
        assert planning is not None
        await _in_thread(lambda: planning.record_dry_run(key, compute_bytes))

    async def set_pinned(self, variant_id: int, pinned: bool) -> None:
        def write() -> None:
            if not Variant.objects.filter(pk=variant_id).update(pinned=pinned):
                raise UnknownVariant(variant_id)

        await _in_thread(write)

    async def used(self, variant_id: int) -> None:
        def write() -> None:
            Variant.objects.filter(pk=variant_id).update(last_used_at=timezone.now())

        await _in_thread(write)

    def _read(self, resident_id: ResidentId) -> tuple[VariantFacts, VariantPlan]:
        variant_id, purpose = resident_id.variant_id, resident_id.purpose
        variant = Variant.objects.filter(pk=variant_id).first()
        if variant is None:
            raise UnknownVariant(variant_id)
        if not variant.enabled:
            raise DisabledVariant(variant_id)
        shards = list(variant.shards.order_by("number"))
        if not shards:
            raise UnknownVariant(variant_id)
        try:
            stats = [os.stat(shard.path) for shard in shards]
            fingerprint = " ".join(f"{each.st_size}:{each.st_mtime_ns}" for each in stats)
            size_bytes = sum(each.st_size for each in stats)
        except OSError:
            # The worker words what is wrong with the file.
            fingerprint = MISSING
            size_bytes = variant.size_bytes or sum(shard.size_bytes for shard in shards)
        keep_alive_seconds = variant.keep_alive_seconds
        plan = VariantPlan()
        if self._planning is not None and fingerprint != MISSING:
            plan = self._planning.plan(variant, shards, fingerprint, size_bytes, purpose)
        facts = VariantFacts(
            resident_id=ResidentId(variant_id),
            name=variant.name,
            path=shards[0].path,
            size_bytes=size_bytes,
            kv_bytes_per_token=variant.kv_bytes_per_token,
            options=LoadOptions.from_json(variant.load_options()),
            pinned=variant.pinned,
            keep_alive_seconds=self._keep_alive_seconds if keep_alive_seconds is None else keep_alive_seconds,
            fingerprint=fingerprint,
            load_ways=plan.load_ways,
        )
        return (facts_to_read(facts) if purpose == "imatrix" else facts), plan


async def _in_thread(query: Callable[[], _T]) -> _T:
    """Runs `query` off the event loop. Raises InventoryUnavailable."""

    def run() -> _T:
        try:
            return query()
        except DatabaseError as error:
            raise InventoryUnavailable(NoStorage("database", str(error))) from error
        except BadDevices as bad:
            raise InventoryUnavailable(NoStorage("profile", str(bad))) from None
        finally:
            connections.close_all()

    # Not thread-sensitive: a write that waits for a lock must not hold up the read behind it.
    return await sync_to_async(run, thread_sensitive=False)()
