"""What a person reads of the host's words who must not learn that some variants exist: their bytes, and not their names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from inference.core.loads.purposes import variant_of
from inference.host.api.messages import HostStatus, Mention, ResidentVariant
from inference.host.api.telemetry import Backlog, DecidedCount, Delta, LogLine, QueueEntry, VariantTelemetry

KEPT = "a model kept for others"
GONE = "a model that is gone"
_TROUBLED = frozenset(("failure", "refuse"))
"""Decisions that quote a worker, who may name files."""

Frame = TypeVar("Frame", Backlog, Delta)


@dataclass(frozen=True, slots=True)
class Discretion:
    """Towards one person; equal for all to whom the same is told."""

    kept: frozenset[tuple[int, str]] = frozenset()
    """Ids and names of variants whose names the person must not learn."""
    known: frozenset[int] | None = None
    """Ids of all variants there are; whom one that is gone was kept for is not known any more. None: all may be told."""

    @property
    def tells_all(self) -> bool:
        return not self.kept and self.known is None

    def keeps(self, resident_id: int) -> bool:
        """Of any of the variant's workers."""
        row_id = variant_of(resident_id)[0]
        return any(row_id == each for each, _ in self.kept)

    def instead(self, resident_id: int | None, *, numbered: bool = False) -> str | None:
        """What to say instead of the variant's name; None: its name. `numbered`: not the same for any two."""
        if resident_id is None or self.tells_all:
            return None
        number = f" ({resident_id})" if numbered else ""
        if self.keeps(resident_id):
            return KEPT + number
        return None if self.known is None or variant_of(resident_id)[0] in self.known else GONE + number

    def sentence(self, text: str) -> str:
        """`text`, of what is now."""
        return without_names(text, dict.fromkeys((name for _, name in self.kept), KEPT))

    def names(self, names: Iterable[str]) -> list[str]:
        """Of variants that there are."""
        kept = {name for _, name in self.kept}
        return [KEPT if name in kept else name for name in names]


NOTHING_KEPT = Discretion()


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


def told_to(discretion: Discretion, frame: Frame, *, numbered: bool = False) -> Frame:
    """The frame as that person may read it. `numbered`: for who tells variants apart by their names."""
    if discretion.tells_all:
        return frame
    # The host may still call one in memory by an earlier name.
    loaded = {each["name"] for each in frame["variants"] if discretion.keeps(each["variant_id"])}
    words = dict.fromkeys(loaded | {name for _, name in discretion.kept}, KEPT)
    told: dict[str, Any] = {
        **frame,
        "variants": [_variant(each, discretion, words, numbered) for each in frame["variants"]],
        "queue": [_entry(each, discretion, words) for each in frame["queue"]],
        "decisions": [_line(each, discretion) for each in frame["decisions"]],
    }
    if frame["type"] == "backlog":
        told["decided"] = [_count(each, discretion, numbered) for each in frame["decided"]]
    return cast(Frame, told)


def _variant(
    variant: VariantTelemetry, discretion: Discretion, words: Mapping[str, str], numbered: bool
) -> VariantTelemetry:
    alarm = None if variant["alarm"] is None else without_names(variant["alarm"], words)
    failure = None if variant["failure_detail"] is None else without_names(variant["failure_detail"], words)
    told: VariantTelemetry = {**variant, "alarm": alarm, "failure_detail": failure}
    if not discretion.keeps(variant["variant_id"]):
        return told
    name = discretion.instead(variant["variant_id"], numbered=numbered)
    # It may name files.
    return {**told, "name": name or KEPT, "failure_detail": None if failure is None else "It failed to load."}


def _entry(entry: QueueEntry, discretion: Discretion, words: Mapping[str, str]) -> QueueEntry:
    variant = KEPT if discretion.keeps(entry["variant_id"]) else entry["variant"]
    return {**entry, "variant": variant, "reason": without_names(entry["reason"], words)}


def _line(line: LogLine, discretion: Discretion) -> LogLine:
    """Names in it are as they were then."""
    words = _words(line["mentions"], discretion)
    instead = discretion.instead(line["variant_id"])
    sentence = without_names(line["sentence"], words)
    if instead is not None and line["kind"] in _TROUBLED:
        done = "failed" if line["kind"] == "failure" else "was refused"
        sentence = f"{instead[0].upper()}{instead[1:]} {done}."
    return {**line, "variant": instead or line["variant"], "sentence": sentence, "mentions": []}


def _words(mentions: Sequence[Mention], discretion: Discretion) -> dict[str, str]:
    found = ((each["name"], discretion.instead(each["variant_id"])) for each in mentions)
    return {name: words for name, words in found if words is not None}


def _count(count: DecidedCount, discretion: Discretion, numbered: bool) -> DecidedCount:
    return {**count, "variant": discretion.instead(count["variant_id"], numbered=numbered) or count["variant"]}


def status_told_to(discretion: Discretion, status: HostStatus) -> HostStatus:
    """As far as pages show it: who is in memory."""
    hidden: dict[str, Any] = {"name": KEPT, "failure_detail": None}
    residents = [
        cast(ResidentVariant, {**each, **hidden}) if discretion.keeps(each["variant_id"]) else each
        for each in status["residents"]
    ]
    return {**status, "residents": residents}
