"""The inventory in the database: the one place where the host touches it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone

from inference.core.options import LoadOptions
from inference.core.residency import VariantFacts
from inference.host.inventory import DisabledVariant, InventoryUnavailable, UnknownVariant
from models_app.models import Variant

_T = TypeVar("_T")


class DjangoInventory:
    """An inventory.Inventory, read in a thread: no query ever holds up the event loop."""

    def __init__(self, keep_alive_seconds: float | None) -> None:
        self._keep_alive_seconds = keep_alive_seconds

    async def facts(self, variant_id: int) -> VariantFacts:
        return await _in_thread(lambda: self._read(variant_id))

    async def set_pinned(self, variant_id: int, pinned: bool) -> None:
        def write() -> None:
            if not Variant.objects.filter(pk=variant_id).update(pinned=pinned):
                raise UnknownVariant(variant_id)

        await _in_thread(write)

    async def used(self, variant_id: int) -> None:
        def write() -> None:
            Variant.objects.filter(pk=variant_id).update(last_used_at=timezone.now())

        await _in_thread(write)

    def _read(self, variant_id: int) -> VariantFacts:
        variant = Variant.objects.filter(pk=variant_id).first()
        if variant is None:
            raise UnknownVariant(variant_id)
        if not variant.enabled:
            raise DisabledVariant(variant.name)
        shards = list(variant.shards.order_by("number"))
        if not shards:
            raise UnknownVariant(variant_id)
        try:
            stats = [os.stat(shard.path) for shard in shards]
            fingerprint = " ".join(f"{each.st_size}:{each.st_mtime_ns}" for each in stats)
            size_bytes = sum(each.st_size for each in stats)
        except OSError:
            # The worker words what is wrong with the file.
            fingerprint = "missing"
            size_bytes = variant.size_bytes or sum(shard.size_bytes for shard in shards)
        keep_alive_seconds = variant.keep_alive_seconds
        return VariantFacts(
            variant_id=variant.pk,
            name=variant.name,
            path=shards[0].path,
            size_bytes=size_bytes,
            kv_bytes_per_token=variant.kv_bytes_per_token,
            options=LoadOptions.from_json(variant.load_options()),
            pinned=variant.pinned,
            keep_alive_seconds=self._keep_alive_seconds if keep_alive_seconds is None else keep_alive_seconds,
            fingerprint=fingerprint,
        )


async def _in_thread(query: Callable[[], _T]) -> _T:
    """Runs `query` off the event loop. Raises InventoryUnavailable for what the database raises."""

    def run() -> _T:
        try:
            return query()
        except DatabaseError as error:
            raise InventoryUnavailable(str(error)) from error
        finally:
            connections.close_all()

    # Not thread-sensitive: a write that waits for a lock must not hold up the read behind it.
    return await sync_to_async(run, thread_sensitive=False)()
