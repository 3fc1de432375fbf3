"""Which worker of which variant: the name under which the host keeps it apart from all others."""

from __future__ import annotations

from dataclasses import dataclass

from inference.core.loads.purposes import Purpose


@dataclass(frozen=True, slots=True, order=True)
class ResidentId:
    """Names a variant's worker for one purpose. Chats and readings of a variant are counted apart, each by its own bytes."""

    variant_id: int
    """The row's."""
    purpose: Purpose = "chat"

    def __str__(self) -> str:
        """`7`, `7.imatrix`: for keys and file names."""
        return str(self.variant_id) if self.purpose == "chat" else f"{self.variant_id}.{self.purpose}"
