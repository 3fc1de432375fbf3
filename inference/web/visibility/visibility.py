"""What one person may see and name. Everybody sees that a variant is in memory, and its bytes; not everybody learns its name. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from inference.core.loads.resident_id import ResidentId
from inference.host.api.messages import HostStatus, Mention, ResidentVariant, resident_id_of
from inference.wording import names
from inference.wording.names import Name


@dataclass(frozen=True, slots=True)
class Visibility:
    """Of one person; equal for all to whom the same is told, so that it is told in the same words."""

    called: frozenset[tuple[int, str]] = frozenset()
    """Ids and present names of the variants that the person may name."""
    kept: frozenset[int] = frozenset()
    """Ids of those that are there and kept for others."""
    is_all: bool = False
    """Nothing is kept from the person: what a variant that is gone was called may be told too."""
    _names: Mapping[int, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", dict(self.called))

    def name(self, resident_id: ResidentId, remembered: str | None = None) -> str:
        """What the person reads for the variant: its present name, or what is said instead. A wording.names.Name.

        `remembered`: what it was called once, for those who may know it and where it has no name any more."""
        variant_id = resident_id.variant_id
        present = self._names.get(variant_id)
        if present is not None:
            return names.reading(present) if resident_id.purpose == "imatrix" else present
        if self.keeps(variant_id):
            return names.kept()
        if self.is_all:
            return remembered or names.numbered(variant_id)
        return names.gone()

    def distinct_name(self, resident_id: ResidentId, remembered: str | None = None) -> str:
        """The same, but no two variants have it in common: for programs that tell them apart by it."""
        name = self.name(resident_id, remembered)
        return name if self.may_name((resident_id.variant_id,)) else f"{name} ({resident_id})"

    def remembering(self, mentions: Sequence[Mention]) -> Name:
        """`name`, where some of whom is spoken may be gone by now."""
        then = {resident_id_of(each): each["name"] for each in mentions}
        return lambda resident_id: self.name(resident_id, then.get(resident_id))

    def keeps(self, variant_id: int) -> bool:
        return variant_id in self.kept

    def may_name(self, variant_ids: Collection[int] | None) -> bool:
        """Whether every one of them may be named; None: it is not known which they are."""
        if self.is_all:
            return True
        return variant_ids is not None and all(each in self._names for each in variant_ids)

    def knows(self, variant_ids: Iterable[int]) -> bool:
        """Whether every one of them was there when this was learnt: one that was not is gone, or new."""
        return all(each in self._names or each in self.kept for each in variant_ids)

    def status(self, status: HostStatus) -> HostStatus:
        """As far as pages show it: who is in memory."""
        return {**status, "residents": [self._resident(each) for each in status["residents"]]}

    def _resident(self, resident: ResidentVariant) -> ResidentVariant:
        shown: dict[str, Any] = {**resident, "name": self.name(resident_id_of(resident), resident["name"])}
        if not self.may_name((resident["variant_id"],)):
            # It may name files.
            shown["failure_detail"] = None
        return cast(ResidentVariant, shown)


NOTHING = Visibility()
"""Of whom it cannot be found out what they may see, and of whoever is not there any more."""
