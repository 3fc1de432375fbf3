"""What a person reads of the host's words who must not learn that some variants exist: their bytes, and not their names. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from inference.core.loads.purposes import variant_of
from inference.host.api.messages import HostStatus, Mention, ResidentVariant, WaitingRequest
from inference.host.api.telemetry import Backlog, DecidedCount, Delta, LogLine, QueueEntry, VariantTelemetry

KEPT = "a model kept for others"
GONE = "a model that is gone"
FAILED = "It failed to load."
_TROUBLED = frozenset(("failure", "refuse"))
"""Decisions that quote a worker, who may name files."""

Frame = TypeVar("Frame", Backlog, Delta)


@dataclass(frozen=True, slots=True)
class Discretion:
    """Towards one person; equal for all to whom the same is told."""

    kept: frozenset[int] = frozenset()
    """Ids of variants whose names the person must not learn."""
    known: frozenset[int] | None = None
    """Ids of all variants there are; whom one that is gone was kept for is not known any more. None: all may be told."""

    @property
    def tells_all(self) -> bool:
        return not self.kept and self.known is None

    def keeps(self, resident_id: int) -> bool:
        """Of any of the variant's workers."""
        return variant_of(resident_id)[0] in self.kept

    def instead(self, resident_id: int | None, *, numbered: bool = False) -> str | None:
        """What to say instead of the variant's name; None: its name. `numbered`: not the same for any two."""
        if resident_id is None or self.tells_all:
            return None
        number = f" ({resident_id})" if numbered else ""
        if self.keeps(resident_id):
            return KEPT + number
        return None if self.known is None or variant_of(resident_id)[0] in self.known else GONE + number

    def may_name(self, variant_ids: Collection[int] | None) -> bool:
        """Whether every one of them may be named; None: it is not known which they are."""
        if self.tells_all:
            return True
        return variant_ids is not None and all(self.instead(each) is None for each in variant_ids)

    def knows(self, variant_ids: Iterable[int]) -> bool:
        """Whether every one of them was there when this was learnt: one that was not is gone, or new."""
        return self.known is None or all(variant_of(each)[0] in self.known for each in variant_ids)

    def sentence(self, text: str, mentions: Sequence[Mention]) -> str:
        """`text`, which names `mentions` as they were called then."""
        found = ((each["name"], self.instead(each["variant_id"])) for each in mentions)
        return without_names(text, {name: words for name, words in found if words is not None})


NOTHING_KEPT = Discretion()
NOTHING_TOLD = Discretion(known=frozenset())
"""Towards whom it cannot be found out what they may know."""


def without_names(text: str, words: Mapping[str, str]) -> str:
    """`text` with other `words` for names, by name, wherever one stands by itself; a sentence still begins with a capital."""
    if not words:
        return text
    # The longest first: a name may begin with another. A dot after a name ends the sentence unless the name goes on.
    names = "|".join(re.escape(name) for name in sorted(words, key=len, reverse=True))
    found = re.compile(rf"(?<![A-Za-z0-9._-])(?:{names})(?![A-Za-z0-9_-]|\.[A-Za-z0-9_-])")

    def other(match: re.Match[str]) -> str:
        said = words[match[0]]
        return said if match.start() else said[:1].upper() + said[1:]

    return found.sub(other, text)


def named_in(frame: Backlog | Delta) -> set[int]:
    """Ids of all variants that the frame names, as of a ResidentVariant."""
    lines = {each["variant_id"] for each in frame["decisions"] if each["variant_id"] is not None}
    mentions = {each["variant_id"] for told in (*frame["queue"], *frame["decisions"]) for each in told["mentions"]}
    return lines | mentions | {each["variant_id"] for each in (*frame["variants"], *frame["queue"])}


def told_to(discretion: Discretion, frame: Frame, *, numbered: bool = False) -> Frame:
    """The frame as that person may read it. `numbered`: for who tells variants apart by their names."""
    if discretion.tells_all:
        return frame
    told: dict[str, Any] = {
        **frame,
        "variants": [_variant(each, discretion, numbered) for each in frame["variants"]],
        "queue": [_entry(each, discretion) for each in frame["queue"]],
        "decisions": [_line(each, discretion) for each in frame["decisions"]],
    }
    if frame["type"] == "backlog":
        told["decided"] = [_count(each, discretion, numbered) for each in frame["decided"]]
    return cast(Frame, told)


def _variant(variant: VariantTelemetry, discretion: Discretion, numbered: bool) -> VariantTelemetry:
    """Its alarm names nobody, its failure nobody but itself."""
    name = discretion.instead(variant["variant_id"], numbered=numbered)
    if name is None:
        return variant
    # It may name files.
    return {**variant, "name": name, "failure_detail": None if variant["failure_detail"] is None else FAILED}


def _entry(entry: QueueEntry, discretion: Discretion) -> QueueEntry:
    variant = discretion.instead(entry["variant_id"]) or entry["variant"]
    reason = discretion.sentence(entry["reason"], entry["mentions"])
    return {**entry, "variant": variant, "reason": reason, "mentions": []}


def _line(line: LogLine, discretion: Discretion) -> LogLine:
    """Names in it are as they were then."""
    instead = discretion.instead(line["variant_id"])
    sentence = discretion.sentence(line["sentence"], line["mentions"])
    if instead is not None and line["kind"] in _TROUBLED:
        done = "failed" if line["kind"] == "failure" else "was refused"
        sentence = f"{instead[0].upper()}{instead[1:]} {done}."
    return {**line, "variant": instead or line["variant"], "sentence": sentence, "mentions": []}


def _count(count: DecidedCount, discretion: Discretion, numbered: bool) -> DecidedCount:
    return {**count, "variant": discretion.instead(count["variant_id"], numbered=numbered) or count["variant"]}


def status_told_to(discretion: Discretion, status: HostStatus) -> HostStatus:
    """Who is in memory, and who waits."""
    if discretion.tells_all:
        return status
    residents = [_resident(each, discretion) for each in status["residents"]]
    return {**status, "residents": residents, "queue": [_request(each, discretion) for each in status["queue"]]}


def _resident(resident: ResidentVariant, discretion: Discretion) -> ResidentVariant:
    name = discretion.instead(resident["variant_id"])
    return resident if name is None else {**resident, "name": name, "failure_detail": None}


def _request(request: WaitingRequest, discretion: Discretion) -> WaitingRequest:
    variant = discretion.instead(request["variant_id"]) or request["variant"]
    reason = discretion.sentence(request["reason"], request["mentions"])
    return {**request, "variant": variant, "reason": reason, "mentions": []}
