"""Where bytes may be fetched from: a Hub answers with redirects, and whoever can write those must not reach this LAN through us."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from models_app.hub.errors import ForbiddenAddress

Resolve = Callable[[str], Sequence[str]]
"""The addresses of a host name, as text. Raises OSError."""


def resolve(host: str) -> list[str]:
    """Blocks on the network's name service."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def check_address(url: str, endpoint: str, resolve: Resolve = resolve) -> None:
    """Raises ForbiddenAddress unless `url` is on the endpoint's own host, or on another one by HTTPS.

    Another host must have public addresses alone, unless the endpoint itself is on a private network. A name that changes its
    address after this look gains nothing: what answers on the new one has no certificate for the name.
    """
    target, own = urlsplit(url), urlsplit(endpoint)
    if target.hostname and target.hostname == own.hostname and target.scheme in (own.scheme, "https"):
        return
    if target.scheme != "https" or not target.hostname:
        raise ForbiddenAddress(url, "which is not an https address")
    if _is_private(target.hostname, resolve) and not _is_private(own.hostname or "", resolve):
        raise ForbiddenAddress(url, "which is on a private network")


def _is_private(host: str, resolve: Resolve) -> bool:
    """Whether any address of `host` is not a public one. A name without addresses is nobody's; connecting will say so."""
    try:
        found = [host] if _is_address(host) else resolve(host)
    except OSError:
        return False
    return not all(_is_public(address) for address in found)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_global and not address.is_multicast
