"""The names and addresses under which this box may be called: what `Host` is checked against."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

REFRESH_SECONDS = 10.0


def lan_addresses() -> list[str]:
    """This machine's addresses now, IPv4 first, loopback and link-local last. IPv6 without zone."""
    found: set[str] = set()
    for addresses in psutil.net_if_addrs().values():
        found.update(a.address.partition("%")[0] for a in addresses if a.family in (socket.AF_INET, socket.AF_INET6))
    return sorted(found, key=lambda a: (a.startswith(("127.", "::1", "fe80:", "169.254.")), ":" in a, a))


def search_domains(resolv_conf: str) -> list[str]:
    """The domains that a resolver appends to short names, out of resolv.conf's text."""
    domains: list[str] = []
    for line in resolv_conf.splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword in ("search", "domain"):
            domains = [word.strip(".").lower() for word in rest.split() if word.strip(".")]
    return domains


def own_names(hostname: str, domains: Sequence[str], addresses: Sequence[str], extra: Sequence[str]) -> list[str]:
    """What `Host` may say, as Django compares it: lower case, IPv6 in brackets, never a wildcard."""
    short = hostname.lower().partition(".")[0]
    names = ["localhost", hostname.lower(), short, f"{short}.local", *(f"{short}.{domain}" for domain in domains)]
    names += [f"[{address}]" if ":" in address else address for address in addresses]
    names += [name.lower() for name in extra]
    return [name for name in dict.fromkeys(names) if name and name != "*"]


def _resolv_conf() -> str:
    try:
        return Path("/etc/resolv.conf").read_text(errors="replace")
    except OSError:
        return ""


class OwnHosts(list[str]):
    """A list that follows the machine's addresses: DHCP may change them while the web process runs.

    Iterating looks them up again when the last look is older than REFRESH_SECONDS.
    """

    def __init__(
        self,
        extra: Sequence[str] = (),
        *,
        addresses: Callable[[], list[str]] = lan_addresses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._extra = tuple(extra)
        self._addresses = addresses
        self._clock = clock
        self._refresh()

    def _refresh(self) -> None:
        self._looked_at = self._clock()
        names = own_names(socket.gethostname(), search_domains(_resolv_conf()), self._addresses(), self._extra)
        self[:] = names

    def __iter__(self) -> Iterator[str]:
        if self._clock() - self._looked_at > REFRESH_SECONDS:
            self._refresh()
        return super().__iter__()
