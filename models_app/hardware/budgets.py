"""Budgets and reserves as their owner writes them: read, judged, and put back into a stored profile. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from models_app.hardware.device_id import DeviceId
from models_app.hardware.pools import RAM
from models_app.hardware.profile import BadAmount, Budget, Device
from models_app.units import format_bytes

AmountName = Literal["budget", "reserve"]
NAMES: tuple[AmountName, ...] = ("budget", "reserve")
_BARE_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Amounts:
    """A device's budget and reserve as text: `11.5GiB`, `90%`, or empty for the default."""

    budget: str = ""
    reserve: str = ""


class BadAmounts(ValueError):
    """`problems` has a sentence for each amount that will not do."""

    def __init__(self, problems: dict[AmountName, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


def too_much(device: Device) -> str:
    """A phrase for an amount that the device does not have."""
    return f"more than {'the machine' if device.kind == 'ram' else 'the card'} has, {format_bytes(device.memory_bytes)}"


def read_amounts(texts: Amounts, device: Device) -> tuple[Budget | None, Budget | None]:
    """Budget and reserve; None where empty. Raises BadAmounts."""
    problems: dict[AmountName, str] = {}
    found: dict[AmountName, Budget | None] = {}
    for name in NAMES:
        text = getattr(texts, name).strip()
        try:
            found[name] = _amount(text, device) if text else None
        except BadAmount as bad:
            problems[name] = str(bad)
    if problems:
        raise BadAmounts(problems)
    return found["budget"], found["reserve"]


def _amount(text: str, device: Device) -> Budget:
    """Raises BadAmount with a sentence."""
    if _BARE_NUMBER.fullmatch(text) and float(text):
        raise BadAmount(f"{text} of what? Write {text}GiB or {text}%.")
    try:
        amount = Budget.parse(text)
    except BadAmount:
        amount = None
    if amount is None or text.endswith("/s"):
        raise BadAmount(f"“{text}” is no amount of memory. Write it as 11.5GiB or 90%.")
    if amount.exceeds(device.memory_bytes):
        raise BadAmount(f"{text} is {too_much(device)}.")
    return amount


def warnings(device: Device, pinned_bytes: int) -> tuple[str, ...]:
    """Sentences about amounts that are allowed and may surprise. `pinned_bytes`: held there by variants that never leave."""
    found = []
    asked = device.memory_bytes if device.budget is None else device.budget.of(device.memory_bytes)
    if device.budget is not None and asked > device.budget_bytes:
        found.append(
            f"Of the budget of {format_bytes(asked)} only {format_bytes(device.budget_bytes)} can be spent on "
            f"{device.name}: the reserve is kept free first."
        )
    if device.budget_bytes < pinned_bytes:
        found.append(
            f"Pinned models hold {format_bytes(pinned_bytes)} on {device.name}, more than the "
            f"{format_bytes(device.budget_bytes)} that may be spent now. They stay until somebody unpins or unloads them; "
            "nothing else is loaded there meanwhile."
        )
    elif device.budget_bytes == 0:
        found.append(f"Nothing is put on {device.name} now.")
    return tuple(found)


# in a stored profile ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredAmounts:
    """The columns of a stored profile that hold its amounts."""

    gpus: Sequence[dict[str, Any]]
    ram_budget: str
    ram_reserve: str

    def of(self, device: str) -> Amounts:
        """Raises LookupError where there is no such device."""
        if device == RAM:
            return Amounts(self.ram_budget, self.ram_reserve)
        row = self.gpus[self._number(device)]
        return Amounts(row.get("budget") or "", row.get("reserve") or "")

    def with_amounts(self, device: str, texts: Amounts) -> StoredAmounts:
        """Raises LookupError where there is no such device."""
        if device == RAM:
            return StoredAmounts(self.gpus, texts.budget, texts.reserve)
        gpus = [deepcopy(row) for row in self.gpus]
        row = gpus[self._number(device)]
        for name in NAMES:
            text = getattr(texts, name)
            if text:
                row[name] = text
            else:
                row.pop(name, None)
        return StoredAmounts(gpus, self.ram_budget, self.ram_reserve)

    def _number(self, device: str) -> int:
        names: list[str] = [DeviceId.gpu(number) for number in range(len(self.gpus))]
        try:
            return names.index(device)
        except ValueError:
            raise LookupError(device) from None


def change_message(name: str, before: Amounts, after: Amounts) -> str | None:
    """What changed on the device `name`, for a log; None if nothing did."""
    changes = [
        f"{each} of {name}: {getattr(before, each) or 'default'} → {getattr(after, each) or 'default'}"
        for each in NAMES
        if getattr(before, each) != getattr(after, each)
    ]
    text = "; ".join(changes)
    return f"{text[0].upper()}{text[1:]}." if text else None
