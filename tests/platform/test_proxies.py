"""What a proxy says of its client is believed where the owner named it; what anybody else says, never."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from hostui.http.proxies import TrustedProxies, parse_network
from tests.platform.test_settings import manage

PROXY, STRANGER, PERSON = "172.18.0.2", "203.0.113.9", "192.0.2.7"
TRUSTED = [ipaddress.ip_network("172.18.0.0/16"), ipaddress.ip_network("fd00::/8")]


async def seen(
    peer: str | None, trusted: list[Any] | None = None, own_scheme: bool = False, kind: str = "http", **said: str
) -> dict[str, Any]:
    """The scope as what lies behind sees it. `said`: headers, with _ for -."""
    found: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found.append(scope)

    headers = [(name.replace("_", "-").lower().encode(), value.encode()) for name, value in said.items()]
    scope = {
        "type": kind,
        "client": [peer, 4711] if peer else None,
        "scheme": {"http": "http", "websocket": "ws"}[kind],
        "headers": [(b"host", b"inner:8642"), *headers],
    }
    await TrustedProxies(application, TRUSTED if trusted is None else trusted, own_scheme)(scope, None, None)
    return found[0]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        (PROXY, PERSON, PERSON),
        (PROXY, f"198.51.100.1, {PERSON}", PERSON),
        (PROXY, f"{PERSON}, 172.18.0.9", PERSON),
        (PROXY, f"{PERSON}:50123", PERSON),
        ("fd00::1", '"[2001:db8::7]:50123"', "2001:db8::7"),
        (PROXY, "::ffff:192.0.2.7", PERSON),
        (PROXY, "fe80::1%eth0", "fe80::1"),
        (PROXY, f"{PERSON}, unknown", PROXY),
        (PROXY, "", PROXY),
        (STRANGER, PERSON, STRANGER),
        (STRANGER, PROXY, STRANGER),
    ],
)
async def test_the_client_is_the_nearest_that_is_no_proxy_of_ours(peer: str, forwarded_for: str, client: str) -> None:
    assert (await seen(peer, X_Forwarded_For=forwarded_for))["client"][0] == client


async def test_a_header_sent_twice_is_one_list() -> None:
    headers = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", PERSON.encode())]
    found: list[Any] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found.append(scope["client"][0])

    scope = {"type": "http", "client": [PROXY, 1], "scheme": "http", "headers": headers}
    await TrustedProxies(application, TRUSTED, own_scheme=False)(scope, None, None)
    assert found == [PERSON]


@pytest.mark.parametrize(("kind", "scheme"), [("http", "https"), ("websocket", "wss")])
async def test_scheme_and_host_are_the_browsers_own(kind: str, scheme: str) -> None:
    scope = await seen(PROXY, kind=kind, X_Forwarded_Proto="https", X_Forwarded_Host="box.example")
    assert scope["scheme"] == scheme
    assert scope["headers"] == [(b"host", b"box.example")]


@pytest.mark.parametrize("peer", [STRANGER, None, "127.0.0.1"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_nobody_else_is_believed_and_their_headers_go_no_further(peer: str | None, kind: str) -> None:
    said = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example", "X_Forwarded_For": PERSON}
    scope = await seen(peer, kind=kind, **said)
    assert scope["scheme"] in ("http", "ws")
    assert scope["headers"] == [(b"host", b"inner:8642")]
    assert scope["client"] == ([peer, 4711] if peer else None)


async def test_with_https_and_no_proxy_named_one_on_this_machine_tells_the_scheme_and_nothing_else() -> None:
    said = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "evil.example", "X_Forwarded_For": PERSON}
    scope = await seen("127.0.0.1", [], own_scheme=True, **said)
    assert (scope["scheme"], scope["client"][0], scope["headers"]) == ("https", "127.0.0.1", [(b"host", b"inner:8642")])
    assert (await seen(STRANGER, [], own_scheme=True, **said))["scheme"] == "http"


async def test_a_scheme_that_is_none_changes_nothing() -> None:
    assert (await seen(PROXY, X_Forwarded_Proto="javascript"))["scheme"] == "http"


@pytest.mark.parametrize("text", ["", "caddy", "0.0.0.0/0", "::/0", "*", "10.0.0.0/33"])
def test_what_names_no_proxy_or_everybody_is_no_network(text: str) -> None:
    assert parse_network(text) is None


def test_a_bad_proxy_ends_the_program_with_one_line(tmp_path: Any) -> None:
    done = manage("check", HOSTUI_DATA_DIR=str(tmp_path), HOSTUI_TRUSTED_PROXIES="10.0.0.1, caddy")
    assert done.returncode == 1
    assert done.stderr.startswith("hostui: HOSTUI_TRUSTED_PROXIES='caddy': expected addresses or networks")
