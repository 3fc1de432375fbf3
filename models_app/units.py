"""Numbers as people read them, wherever they are written: static/js/shared/numbers.js writes sizes and durations alike."""

from __future__ import annotations

_BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB")


def format_bytes(n_bytes: int) -> str:
    """`98304` is `96 KiB`, `4912898048` is `4.58 GiB`."""
    amount, unit = float(n_bytes), 0
    while amount >= 1023.5 and unit < len(_BINARY) - 1:
        amount, unit = amount / 1024, unit + 1
    digits = 0 if unit == 0 or amount >= 99.95 else 1 if amount >= 9.995 else 2
    return f"{amount:.{digits}f}".removesuffix(".00") + f" {_BINARY[unit]}"


def format_duration(seconds: float) -> str:
    """`0 s`, `0.4 s`, `12 s`, `3 min`, `2 h`, `4 d`."""
    tenths = round(10 * seconds)
    if 0 < tenths < 10:
        return f"0.{tenths} s"
    for limit, length, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def format_rate(bytes_per_second: int) -> str:
    """`360000000000` is `360 GB/s`: vendors count so."""
    return f"{bytes_per_second / 1e9:.3g} GB/s"


def format_params(n_params: int) -> str:
    """`134515008` is `135M`, `8030261248` is `8.03B`."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if n_params >= size:
            return f"{n_params / size:.3g}{unit}"
    return str(n_params)
