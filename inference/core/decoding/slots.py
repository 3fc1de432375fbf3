"""Decisions about slots and steps: which slot a request takes, what of it can be reused, how much prompt one step carries."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

SHARED_STEP_SECONDS = 0.1
"""About how long a step may take while others are generating: their text still flows."""
LONE_STEP_SECONDS = 0.5
"""About how long a step may take with nobody else generating: progress and Stop still feel immediate."""
SMALLEST_CHUNK = 16
FIRST_SHARED_CHUNK = 32
FIRST_LONE_CHUNK = 512

_BLOCK_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class SlotView:
    """Shows a slot to `choose_slot`. `tokens` are those in its KV cache, `owner` whose they are (None: nobody's, empty)."""

    index: int
    owner: str | None
    tokens: array[int]
    busy: bool
    last_used: float


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """Says where a request goes. The first `n_keep` tokens of its prompt are in slot `source`'s cache already."""

    index: int
    source: int
    n_keep: int

    @property
    def copies(self) -> bool:
        """Whether the cached prefix has to be copied from another slot."""
        return self.n_keep > 0 and self.source != self.index


def common_prefix(left: array[int], right: array[int]) -> int:
    """How many leading tokens are equal. Compares block by block, so a long match costs microseconds."""
    most = min(len(left), len(right))
    left_bytes, right_bytes = memoryview(left).cast("B"), memoryview(right).cast("B")
    width = left.itemsize
    start = 0
    while start < most:
        end = min(start + _BLOCK_TOKENS, most)
        if left_bytes[start * width : end * width] != right_bytes[start * width : end * width]:
            break
        start = end
    while start < most and left[start] == right[start]:
        start += 1
    return start


def choose_slot(slots: Sequence[SlotView], owner: str, prompt: array[int], *, can_copy: bool) -> SlotChoice | None:
    """The slot for `prompt`, or None while every slot is busy.

    Only sequences of the same owner are ever compared. In order:

    1. the idle slot with the longest common prefix, unless taking it would lose more tokens than it saves while another
       slot stands empty;
    2. then an empty slot, which receives a copy of that prefix where the memory can copy (`can_copy`);
    3. then the idle slot that was used least recently.

    At least one prompt token is left to evaluate: its logits are needed.
    """
    most = len(prompt) - 1
    idle = [slot for slot in slots if not slot.busy]
    if not idle:
        return None
    empty = next((slot for slot in idle if not slot.tokens), None)
    own = {
        slot.index: min(common_prefix(slot.tokens, prompt), most)
        for slot in slots
        if slot.owner == owner and slot.tokens
    }
    own_idle = [slot for slot in idle if own.get(slot.index, 0) > 0]
    best = max(own_idle, key=lambda slot: (own[slot.index], slot.last_used), default=None)
    if best is not None:
        n_keep = own[best.index]
        if empty is None or n_keep * 2 >= len(best.tokens):
            return SlotChoice(best.index, best.index, n_keep)  # (1)
    if empty is not None:  # (2)
        if can_copy and own:
            source = max(own, key=lambda index: own[index])
            return SlotChoice(empty.index, source, own[source])
        return SlotChoice(empty.index, empty.index, 0)
    oldest = min(idle, key=lambda slot: slot.last_used)  # (3)
    return SlotChoice(oldest.index, oldest.index, 0)


def can_rewind(n_keep: int, oldest_position: int | None, n_swa: int) -> bool:
    """Whether a cache that reaches back to `oldest_position` can be cut to its first `n_keep` tokens and continued.

    Sliding-window layers (`n_swa` > 0) forget what the window has left behind, so the tokens before the cut may be gone.
    """
    return oldest_position is not None and oldest_position <= max(0, n_keep - n_swa)


def prefill_budget(seconds_per_token: float | None, *, n_generating: int, n_batch: int) -> int:
    """How many prompt tokens the next step may carry: from 16 up to what the batch has room for.

    `seconds_per_token` is what recent steps with prefill took, divided by their tokens; None before the first.
    """
    room = n_batch - n_generating
    if seconds_per_token is None:
        wanted = FIRST_SHARED_CHUNK if n_generating else FIRST_LONE_CHUNK
    else:
        seconds = SHARED_STEP_SECONDS if n_generating else LONE_STEP_SECONDS
        wanted = max(SMALLEST_CHUNK, int(seconds / seconds_per_token))
    return max(0, min(wanted, room))


def share(budget: int, wants: Sequence[int]) -> list[int]:
    """Splits `budget` evenly among `wants`; what one does not need goes to the others. Earlier ones get the remainder."""
    shares = [0] * len(wants)
    left = budget
    hungry = [index for index, want in enumerate(wants) if want > 0]
    while left > 0 and hungry:
        each = max(1, left // len(hungry))
        for index in hungry:
            given = min(each, wants[index] - shares[index], left)
            shares[index] += given
            left -= given
        hungry = [index for index in hungry if shares[index] < wants[index]]
    return shares
