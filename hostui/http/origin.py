"""WebSockets are opened by our own pages only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, WebSocketScope
from channels.security.websocket import WebsocketDenier
from django.http.request import split_domain_port, validate_host

_DEFAULT_PORTS = {"http": 80, "https": 443}


def _host_and_port(scheme: str, netloc: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(f"{scheme}://{netloc}")
        port = parts.port or _DEFAULT_PORTS.get(scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def same_origin(origin: str, host: str, allowed_hosts: Iterable[str]) -> bool:
    """Whether `Origin` and `Host` name the same place, and the place is this box.

    Equal headers alone are not enough: a page of evil.example, whose name was rebound to this box's address, sends
    evil.example in both.
    """
    scheme, separator, netloc = origin.partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        return False
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, allowed_hosts):
        return False
    theirs, ours = _host_and_port(scheme, netloc), _host_and_port(scheme, host)
    return theirs is not None and theirs == ours


class SameOriginOnly:
    """ASGI middleware: answers a WebSocket handshake from anywhere else with 403."""

    def __init__(self, application: Any, allowed_hosts: Iterable[str]) -> None:
        self._application = application
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: WebSocketScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"origin", b"host")}
        ours = same_origin(headers.get(b"origin", ""), headers.get(b"host", ""), self._allowed_hosts)
        application = self._application if ours else WebsocketDenier.as_asgi()
        await application(scope, receive, send)
