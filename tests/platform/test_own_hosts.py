"""The box answers to its own names and addresses only, and follows them when they change."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from hostui.http.origin import same_origin
from hostui.http.own_hosts import REFRESH_SECONDS, OwnHosts, lan_addresses, own_names, search_domains


def test_names_are_the_hosts_own_with_the_lans_domains() -> None:
    names = own_names("Box.example.org", ["fritz.box", "lan"], ["192.0.2.7", "fe80::1", "127.0.0.1"], ["models.HOME"])
    assert names == [
        "localhost",
        "box.example.org",
        "box",
        "box.local",
        "box.fritz.box",
        "box.lan",
        "192.0.2.7",
        "[fe80::1]",
        "127.0.0.1",
        "models.home",
    ]


def test_a_wildcard_is_never_among_them() -> None:
    assert "*" not in own_names("*", [], [], ["*"])


def test_search_domains_come_from_the_last_line_that_names_some() -> None:
    assert search_domains("# comment\nsearch old\nnameserver 192.0.2.1\nsearch Fritz.Box. lan\n") == [
        "fritz.box",
        "lan",
    ]
    assert search_domains("nameserver 192.0.2.1") == []


def test_this_machines_loopback_addresses_are_found() -> None:
    assert "127.0.0.1" in lan_addresses()
    assert all("%" not in address for address in lan_addresses())


def test_an_address_that_dhcp_changed_is_known_ten_seconds_later_without_a_restart() -> None:
    now, addresses = [100.0], ["192.0.2.7"]
    hosts = OwnHosts(addresses=lambda: list(addresses), clock=lambda: now[0])
    addresses[:] = ["192.0.2.99"]
    assert "192.0.2.7" in list(hosts)
    now[0] += REFRESH_SECONDS + 0.1
    assert "192.0.2.99" in list(hosts)
    assert "192.0.2.7" not in list(hosts)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "*", "", "local", "192.0.2.250"]
)
def test_a_strangers_host_header_is_refused_before_any_view(client: Client, host: str) -> None:
    assert client.get("/healthz", HTTP_HOST=host).status_code == 400


def test_the_settings_list_is_the_living_one() -> None:
    # Under test Django adds its own test server to a copy; what the sockets' guard holds is the setting itself.
    assert "localhost" in settings.ALLOWED_HOSTS
    assert "*" not in settings.ALLOWED_HOSTS


OURS = ["localhost", "192.0.2.7", "[2001:db8::7]", "box.local"]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://192.0.2.7:8642", "192.0.2.7:8642"),
        ("http://box.local:8642", "BOX.local:8642"),
        ("http://[2001:db8::7]:8642", "[2001:db8::7]:8642"),
        ("http://localhost", "localhost:80"),
        ("https://box.local", "box.local"),
    ],
)
def test_our_own_pages_may_open_a_socket(origin: str, host: str) -> None:
    assert same_origin(origin, host, OURS)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "192.0.2.7:8642"),
        ("http://evil.example:8642", "evil.example:8642"),  # its name was rebound to our address
        ("http://192.0.2.7:3000", "192.0.2.7:8642"),  # another program on this box
        ("http://192.0.2.7", "192.0.2.7:8642"),
        ("", "192.0.2.7:8642"),
        ("null", "192.0.2.7:8642"),
        ("file://", "192.0.2.7:8642"),
        ("http://192.0.2.7:8642@evil.example", "192.0.2.7:8642"),
        ("http://192.0.2.7:port", "192.0.2.7:8642"),
        ("http://192.0.2.7:8642", ""),
        ("chrome-extension://192.0.2.7:8642", "192.0.2.7:8642"),
    ],
)
def test_nobody_elses_page_may(origin: str, host: str) -> None:
    assert not same_origin(origin, host, OURS)
