"""What variants are called towards a reader, and what is said instead of a name that the reader must not learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from inference.core.loads.resident_id import ResidentId
from inference.wording.translation import gettext as _

Name = Callable[[ResidentId], str]
"""A variant's worker → what the reader calls it: the variant alone, where it is for chats."""


def kept() -> str:
    """Instead of the name of a variant that the reader may not use."""
    return _("a model kept for others")


def gone() -> str:
    """Instead of the name of a variant that is there no more: whom it was kept for is not known."""
    return _("a model that is gone")


def among(called: Mapping[int, str]) -> Name:
    """For whoever may know all of these: variants' present names, by row."""

    def name(resident_id: ResidentId) -> str:
        present = called.get(resident_id.variant_id)
        if present is None:
            return numbered(resident_id.variant_id)
        return reading(present) if resident_id.purpose == "imatrix" else present

    return name


def numbered(variant_id: int) -> str:
    """Where nobody knows what it is called."""
    return _("model {number}").format(number=variant_id)


def reading(variant: str) -> str:
    """A variant's second worker, which reads a text for its importance matrix."""
    return _("{variant} (importance matrix)").format(variant=variant)


def first(name: str) -> str:
    """`name` as a sentence's first words. Names are left as they are; what stands for one gets its capital."""
    return name[:1].upper() + name[1:] if name.startswith((kept(), gone())) else name


def listed(words: Sequence[str]) -> str:
    """one, two and three"""
    if len(words) < 2:
        return "".join(words)
    return _("{some} and {last}").format(some=", ".join(words[:-1]), last=words[-1])


def named(resident_ids: Sequence[ResidentId], name: Name) -> str:
    return listed([name(each) for each in resident_ids]) or _("others")
