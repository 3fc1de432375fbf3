"""Strict readers of environment variables: a value that does not parse ends the program with one line that names it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS[_letter + "B"] = 1000**_power
    _UNITS[_letter + "IB"] = 1024**_power


class BadSetting(ImproperlyConfigured):
    """`name` holds `value`, which is not what `expected` says."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r}: expected {expected}")
        self.name = name
        self.value = value
        self.expected = expected


def parse_size(name: str, value: str) -> int:
    """Bytes in `value`: a number with an optional unit, "11.5GiB", "12 GB" or "4096". Raises BadSetting."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", value)
    if match and (unit := _UNITS.get(match[2].upper())):
        return int(float(match[1]) * unit)
    raise BadSetting(name, value, "a size such as 11.5GiB, 12GB or a number of bytes")


class EnvironmentVariables:
    """Reads settings out of `values`; an empty value counts as unset, as a shell script would mean it."""

    def __init__(self, values: Mapping[str, str] = os.environ) -> None:
        self._values = values

    def text(self, name: str, default: str) -> str:
        return self._values.get(name, "").strip() or default

    def optional(self, name: str) -> str | None:
        return self._values.get(name, "").strip() or None

    def words(self, name: str) -> list[str]:
        """The comma-separated parts, without blanks."""
        return [word.strip() for word in self._values.get(name, "").split(",") if word.strip()]

    def flag(self, name: str, default: bool) -> bool:
        value = self.optional(name)
        if value is None:
            return default
        if value.lower() in ("1", "true", "yes", "on"):
            return True
        if value.lower() in ("0", "false", "no", "off"):
            return False
        raise BadSetting(name, value, "yes or no")

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self.optional(name)
        if value is None:
            return default
        if re.fullmatch(r"-?[0-9]+", value) and least <= int(value) <= most:
            return int(value)
        raise BadSetting(name, value, f"a whole number from {least} to {most}")

    def seconds(self, name: str, default: float) -> float:
        value = self.optional(name)
        if value is None:
            return default
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            return float(value)
        raise BadSetting(name, value, "a number of seconds, 0 or more")

    def size_bytes(self, name: str) -> int | None:
        value = self.optional(name)
        return None if value is None else parse_size(name, value)
