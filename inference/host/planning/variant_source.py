"""What the host asks of the inventory. The answers come from inference.host.planning.database, or from a test."""

from __future__ import annotations

from typing import Protocol

from inference.core.loads.options import BadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.memory.residency import VariantFacts
from inference.core.scheduling.refusals import NoStorage
from inference.host.planning.load_record import LoadMeasured


class UnknownVariant(Exception):
    """No such variant, or one without a file."""


class DisabledVariant(Exception):
    """The owner switched it off."""

    def __init__(self, variant_id: int) -> None:
        super().__init__(variant_id)
        self.variant_id = variant_id


class UnusableFile(Exception):
    """No worker needs to be started, and nobody has to leave, to know that it cannot be loaded. `detail` is a sentence for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InventoryUnavailable(Exception):
    """The database did not answer, or what it has of this machine makes no sense."""

    def __init__(self, facts: NoStorage) -> None:
        super().__init__(f"{facts.of}: {facts.error}")
        self.facts = facts


class Inventory(Protocol):
    """Every method raises InventoryUnavailable."""

    async def facts(self, resident_id: ResidentId) -> VariantFacts:
        """What is known of the variant for its purpose: see host.planning.imatrix_load. Raises UnknownVariant, DisabledVariant, UnusableFile, BadOptions."""

    async def pools(self) -> tuple[Pool, ...]:
        """What each device may hold, as its owner has it now; foreign memory is left out."""

    async def set_pinned(self, variant_id: int, pinned: bool) -> None:
        """Raises UnknownVariant."""

    async def used(self, variant_id: int) -> None:
        """Notes that the variant was used just now."""

    async def record(self, load: LoadMeasured) -> None:
        """Keeps what a load took, so that the next one is planned by it."""


__all__ = ["BadOptions", "DisabledVariant", "Inventory", "InventoryUnavailable", "UnknownVariant", "UnusableFile"]
