"""Each setting of README's table is started once: the box becomes ready, and /healthz says so."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import httpx
import pytest

from tests.stack import BASE_DIR, Stack, csrf_token, running_stack

pytestmark = pytest.mark.live

ELSEWHERE = {"DATABASE_URL", "HOSTUI_REDIS_URL"}
"""Need servers: tests/shared."""
PLAIN = {
    "HOSTUI_HOST": "127.0.0.1",
    "HOSTUI_ACCEL": "cpu",
    "HOSTUI_BUDGET": "2GiB",
    "HOSTUI_RPC_CLIENTS": "2",
    "HOSTUI_KEEP_ALIVE_SECONDS": "5",
    "HOSTUI_MAX_WAIT_SECONDS": "5",
    "HOSTUI_LOAD_TIMEOUT_SECONDS": "60",
    "HOSTUI_STEP_TIMEOUT_SECONDS": "60",
    "HF_ENDPOINT": "http://127.0.0.1:9/mirror",
    "HF_TOKEN": "hf_x",
    "HOSTUI_DOWNLOAD_LIMIT": "5MiB",
    "HOSTUI_DISK_RESERVE": "0",
    "HOSTUI_DRAIN_SECONDS": "1",
    "HOSTUI_ALLOWED_HOSTS": "box.example",
    "HOSTUI_LOG_LEVEL": "debug",
}
PROXIED = {
    "HOSTUI_HTTPS": "yes",
    "HOSTUI_TRUSTED_PROXIES": "127.0.0.1, 172.18.0.0/16",
    "HOSTUI_ALLOWED_HOSTS": "box.example",
    "HOSTUI_RPC_SERVERS": "127.0.0.1:9",
}
ALONE = {"HOSTUI_HTTPS": "yes"}
IN_THE_STACK = {"HOSTUI_DATA_DIR", "HOSTUI_PORT"}


def get(stack: Stack, path: str, **headers: str) -> httpx.Response:
    return httpx.get(stack.url + path, headers=headers, timeout=30, trust_env=False)


def test_every_setting_is_started_here() -> None:
    table = re.search(r"## Settings\n(.+?)\n## ", (BASE_DIR / "README.md").read_text(), re.DOTALL)
    assert table is not None
    documented = {
        name
        for row in re.findall(r"^\| (`[A-Z_`, ]+`) \|", table[1], re.MULTILINE)
        for name in re.findall(r"[A-Z_]+", row)
    }
    assert documented == {*ELSEWHERE, *PLAIN, *PROXIED, *ALONE, *IN_THE_STACK}


def test_the_plain_ones_start_with_a_data_folder_whose_path_is_long(starter_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / ("x" * 100)
        with running_stack(HOSTUI_DATA_DIR=str(data_dir), **PLAIN) as stack:
            assert get(stack, "/healthz").json()["status"] == "ok"
            assert [
                each for each in data_dir.rglob("*") if each.lstat().st_mode & 0o077 and not each.is_symlink()
            ] == []


def test_https_alone_becomes_ready_and_believes_a_proxy_on_this_machine(starter_path: Path) -> None:
    with running_stack(**ALONE) as stack:
        health = get(stack, "/healthz")
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        assert get(stack, "/login/").headers["Location"].startswith("https://")
        assert get(stack, "/login/", **{"X-Forwarded-Proto": "https"}).status_code == 200


def test_behind_a_proxy_each_person_has_an_address(starter_path: Path) -> None:
    with running_stack(**PROXIED) as stack:
        assert get(stack, "/healthz").json()["status"] == "ok"
        assert stack.printed(r"Open\s+(\S+)")[1] == "https://box.example/"
        for _ in range(11):
            refused = sign_in(stack, "198.51.100.66")
        assert "Too many attempts" in refused.text
        assert "Please enter a correct" in sign_in(stack, "198.51.100.7").text
        log = (stack.data_dir / "logs" / "web.log").read_text()
        assert "sign-in failed for ada from 198.51.100.7" in log


def sign_in(stack: Stack, address: str) -> httpx.Response:
    """A wrong password, as a proxy that speaks HTTPS as box.example sends it on."""
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "box.example", "X-Forwarded-For": f"10.9.8.7, {address}"}
    with httpx.Client(base_url=stack.url, headers=said, timeout=30, trust_env=False) as client:
        page = client.get("/login/")
        token = csrf_token(page.text)
        return client.post(
            "/login/",
            data={"username": "ada", "password": "wrong", "csrfmiddlewaretoken": token},
            headers={"Origin": "https://box.example", "Cookie": f"hostui_csrf={page.cookies['hostui_csrf']}"},
        )
