"""What the host says about residency, held once per web process and passed on to every open page."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing, suppress

from inference.engine.protocol import BadMessage
from inference.host.api.client import HostClient, HostUnavailable
from inference.host.api.messages import HostStatus
from inference.web.chat.protocol import Variants
from inference.web.chat.rows import variant_views
from inference.web.crossing.change_counter import ChangeCounter
from inference.web.crossing.database_thread import StorageFailed
from inference.web.visibility.offered import OfferedVariant, offered_variants
from inference.web.visibility.visibility import Visibility
from models_app.catalog.access import Access

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
FRESH_SECONDS = 10.0
"""The list of variants is read again when it is older and somebody asks: other processes add to it."""


class ResidencyFeed:
    """One `watch` connection to the host, renewed with back-off for as long as the process lives."""

    def __init__(self, client: HostClient) -> None:
        self._client = client
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._connected = ChangeCounter()
        self._variants: list[OfferedVariant] = []
        self._variants_read_at = float("-inf")
        self.status: HostStatus | None = None
        """None while no host answers."""
        self.changed = ChangeCounter()
        """Counts when `variants` would answer differently than before."""
        self._last: Variants = {"type": "variants", "host": False, "rows": []}
        self._restricted_to: dict[int, frozenset[int]] = {}

    @property
    def variants(self) -> Variants:
        """All that can be picked, by whomever, and what of it is in memory. A value: it is replaced, never changed."""
        return self._last

    @property
    def is_restricted(self) -> bool:
        """Whether some variants are kept for some people."""
        return bool(self._restricted_to)

    def variants_for(self, access: Access) -> Variants:
        """`variants`, as far as this person may use them."""
        rows = [row for row in self._last["rows"] if access.allows(self._restricted_to.get(row["id"], ()))]
        return {**self._last, "rows": rows}

    def may_use(self, access: Access, variant_id: int) -> bool:
        """As far as this process knows."""
        return access.allows(self._restricted_to.get(variant_id, ()))

    def naming(self, variant_id: int) -> Visibility:
        """Of whoever asks for this variant, as far as only that one is spoken of."""
        return Visibility(frozenset((row["id"], row["name"]) for row in self._last["rows"] if row["id"] == variant_id))

    @property
    def connections(self) -> int:
        """How often the host was reached anew; grows by one at each."""
        return self._connected.count

    async def start(self) -> None:
        """Returns when the host was reached or found missing; the list of variants is read then. Starts once."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="host feed")
        with suppress(StorageFailed):
            await self.refresh()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._tried.wait(), 1.0)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def refresh(self, *, even_if_fresh: bool = False) -> None:
        """Reads the list of variants again where it isn't fresh. Raises StorageFailed."""
        now = time.monotonic()
        if now - self._variants_read_at < FRESH_SECONDS and not even_if_fresh:
            return
        self._variants_read_at = now
        self._variants = await offered_variants()
        self._publish()

    async def next_connection(self, seen: int, timeout_seconds: float) -> None:
        """Returns when `connections` exceeds `seen`, or after the time-out."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._connected.after(seen), timeout_seconds)

    async def _keep(self) -> None:
        delay_seconds = FIRST_RETRY_SECONDS
        while True:
            reached = False
            try:
                async with aclosing(self._client.watch()) as statuses:
                    async for status in statuses:
                        if not reached:
                            reached, delay_seconds = True, FIRST_RETRY_SECONDS
                            logger.info("the host answers", extra={"host_pid": status["pid"]})
                            self._connected.increment()
                        self.status = status
                        self._publish()
                        self._tried.set()
            except (HostUnavailable, BadMessage) as error:
                logger.debug("no host: %s", error)
            if reached:
                logger.warning("the host does not answer any more")
            self.status = None
            self._publish()
            self._tried.set()
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, LONGEST_RETRY_SECONDS)

    def _publish(self) -> None:
        now: Variants = {
            "type": "variants",
            "host": self.status is not None,
            "rows": variant_views(self._variants, self.status),
        }
        restricted_to = {each.pk: each.restricted_to for each in self._variants if each.restricted_to}
        if (now, restricted_to) != (self._last, self._restricted_to):
            self._last, self._restricted_to = now, restricted_to
            self.changed.increment()
