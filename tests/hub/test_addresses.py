"""Where a Hub's redirect may lead."""

from __future__ import annotations

import pytest

from models_app.hub.addresses import check_address
from models_app.hub.errors import ForbiddenAddress

ADDRESSES = {
    "huggingface.co": ["3.162.0.1"],
    "cdn.example": ["3.162.0.2", "2600:9000::1"],
    "rebound.example": ["3.162.0.2", "192.168.1.1"],
    "mirror.lan": ["192.168.1.7"],
    "nas.lan": ["192.168.1.9"],
}
HUB, MIRROR = "https://huggingface.co", "http://mirror.lan:8080"


def resolve(host: str) -> list[str]:
    try:
        return ADDRESSES[host]
    except KeyError:
        raise OSError(host) from None


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://huggingface.co/api/models", HUB),
        ("https://cdn.example/file", HUB),
        ("https://nowhere.example/", HUB),
        ("http://mirror.lan:8080/x", MIRROR),
        ("http://mirror.lan:9000/x", MIRROR),
        ("https://mirror.lan/x", MIRROR),
        ("https://nas.lan/x", MIRROR),
        ("https://cdn.example/x", MIRROR),
    ],
)
def test_the_endpoints_host_and_public_https_are_allowed(url: str, endpoint: str) -> None:
    check_address(url, endpoint, resolve)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://huggingface.co/x", HUB),
        ("http://cdn.example/file", HUB),
        ("ftp://cdn.example/file", HUB),
        ("file:///etc/passwd", HUB),
        ("https://nas.lan/x", HUB),
        ("https://rebound.example/x", HUB),
        ("https://127.0.0.1/x", HUB),
        ("https://[::1]/x", HUB),
        ("https://[::ffff:10.0.0.1]/x", HUB),
        ("https://169.254.169.254/latest/meta-data", HUB),
        ("https://100.64.0.1/x", HUB),
        ("http://nas.lan/x", MIRROR),
        ("http://127.0.0.1:6379/", MIRROR),
    ],
)
def test_plain_http_elsewhere_and_private_networks_are_refused(url: str, endpoint: str) -> None:
    with pytest.raises(ForbiddenAddress):
        check_address(url, endpoint, resolve)
