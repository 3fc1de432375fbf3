"""Who really asks, behind proxies that the owner named: from nobody else is a word about that believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FORWARDED = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_SCHEMES = {"http": {"http": "http", "websocket": "ws"}, "https": {"http": "https", "websocket": "wss"}}


def parse_network(text: str) -> Network | None:
    """An address, or a network such as 10.0.0.0/8; None for anything else, and for all addresses at once."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return network if network.prefixlen else None


def parse_address(text: str) -> Address | None:
    """As proxies write it: with a port, in brackets, with a zone, or IPv4 within IPv6."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_address(peer: Address, forwarded_for: str, trusted: Sequence[Network]) -> Address:
    """The nearest address that no named proxy has. What stands left of it anybody could have written."""
    hops = [parse_address(word) for word in forwarded_for.split(",") if word.strip()]
    client = peer
    while hops and is_trusted(client, trusted):
        hop = hops.pop()
        if hop is None:
            break
        client = hop
    return client


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


class TrustedProxies:
    """ASGI middleware. Behind it `scope` says client, scheme and host as the person's browser sees them.

    X-Forwarded headers go no further: whoever reads them later would believe anybody. `own_scheme`: whether a proxy on this
    machine that was not named is believed that it was asked by HTTPS, and nothing else.
    """

    def __init__(self, application: Any, trusted: Sequence[Network], own_scheme: bool) -> None:
        self._application = application
        self._trusted = tuple(trusted)
        self._own_scheme = own_scheme

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = self._seen(scope)
        await self._application(scope, receive, send)

    def _seen(self, scope: dict[str, Any]) -> dict[str, Any]:
        said = {name: _joined(scope["headers"], name) for name in FORWARDED}
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in FORWARDED]
        seen = {**scope, "headers": headers}
        peer = parse_address(str(scope["client"][0])) if scope.get("client") else None
        if peer is None:
            return seen
        named = is_trusted(peer, self._trusted)
        if named or (self._own_scheme and peer.is_loopback):
            scheme = _SCHEMES.get(_first(said[b"x-forwarded-proto"]).lower())
            if scheme is not None:
                seen["scheme"] = scheme[scope["type"]]
        if named:
            client = client_address(peer, said[b"x-forwarded-for"], self._trusted)
            # The port is the proxy's own, and says nothing of the client.
            seen["client"] = [str(client), scope["client"][1] if client == peer else 0]
            if host := _first(said[b"x-forwarded-host"]):
                seen["headers"] = [each for each in headers if each[0].lower() != b"host"]
                seen["headers"].append((b"host", host.encode("latin-1")))
        return seen


def _joined(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str:
    return ",".join(value.decode("latin-1") for name, value in headers if name.lower() == wanted)


def _first(values: str) -> str:
    """What the proxy nearest to the person wrote."""
    return values.partition(",")[0].strip()
