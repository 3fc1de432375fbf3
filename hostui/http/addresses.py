"""How others on the LAN reach this box, for links that are printed."""

from __future__ import annotations

import socket

from django.conf import settings

from hostui.http.own_hosts import lan_addresses

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


def reachable_addresses() -> list[str]:
    """At least one address; the one towards the default route first, loopback only where there is no LAN."""
    if settings.HOST not in EVERYWHERE:
        return [settings.HOST]
    found = [a for a in lan_addresses() if ":" not in a and not a.startswith(("127.", "169.254."))]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing; it makes the kernel choose the way out.
            probe.connect(("192.0.2.1", 9))
            found.insert(0, probe.getsockname()[0])
        except OSError:
            pass
    return list(dict.fromkeys(found)) or ["127.0.0.1"]


def base_urls() -> list[str]:
    """`http://address:port` for each of them, without a final slash. Behind HTTPS: the names that the owner gave the box."""
    if settings.HTTPS and settings.FURTHER_NAMES:
        return ["https://" + name.lstrip(".") for name in settings.FURTHER_NAMES]
    names = (f"[{address}]" if ":" in address else address for address in reachable_addresses())
    return [f"http://{name}:{settings.PORT}" for name in names]


def local_address() -> str:
    """Where a process on this box reaches the web process."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104
