"""The Hub's pages in a real browser: plans that arrive one by one, on every screen and for everybody."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DEADLINE_MS, WATCH
from tests.browser.stage import PASSWORD, Stage
from tests.browser.test_everybody_can_use_it import PHONE, complaints, sideways
from tests.gguf_builder import TINY, build
from tests.hub import HubServer, ServerError, Stall, running_hub

REPOSITORY = "somebody/A-Model-With-A-Rather-Long-Name-70B-Instruct-2507-GGUF"
PAGE = f"/models/hub/{REPOSITORY}/"
OpenHubPage = Callable[..., Page]


@pytest.fixture(scope="module")
def remote() -> Iterator[HubServer]:
    with tempfile.TemporaryDirectory() as folder, running_hub() as hub:
        files = {}
        for quantization in ("Q4_0", "Q5_0", "Q8_0"):
            path = build(Path(folder) / f"Model-{quantization}.gguf", TINY[0], quantization=quantization)
            files[path.name] = path
        hub.add(
            REPOSITORY,
            {**files, "../climbs.gguf": path, "mmproj-f16.gguf": path},
            gated=False,
            downloads=1_234_567,
            card={"license": "apache-2.0", "base_model": "somebody/A-Model"},
            gguf={"architecture": "llama", "total": 70_553_706_496, "context_length": 131_072},
        )
        hub.add("somebody/A-Gated-Model-GGUF", files, gated=True)
        yield hub


@pytest.fixture(scope="module")
def staged(remote: HubServer) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="hostui-") as folder:
        stage = Stage(Path(folder), HF_ENDPOINT=remote.endpoint)
        stage.start()
        yield stage
        stage.stop()


@pytest.fixture
def open_hub_page(chromium: Browser, remote: HubServer, staged: Stage) -> Iterator[OpenHubPage]:
    """As alice. At the end nothing may have run or tried anything that it should not."""
    opened: list[Page] = []

    def open_page(path: str, **options: Any) -> Page:
        context = chromium.new_context(**options)
        context.set_default_timeout(DEADLINE_MS)
        context.add_init_script(WATCH)
        page = context.new_page()
        opened.append(page)
        page.goto(f"{staged.url}/login/?next={path}")
        page.get_by_label("Username").fill("alice")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"**{path}")
        return page

    yield open_page
    remote.faults.clear()
    faults = [fault for page in opened for fault in page.evaluate("[...window.hostile, ...window.violations]")]
    for page in opened:
        page.context.close()
    assert faults == []


def test_plans_arrive_one_by_one_and_the_advice_at_last(remote: HubServer, open_hub_page: OpenHubPage) -> None:
    remote.faults.add(Stall(path="Model-Q5_0.gguf", after_bytes=100))
    page = open_hub_page(PAGE)
    rows = page.locator(".variant")

    expect(rows).to_have_count(3)
    expect(rows.nth(0).locator("[data-f=fit_words]")).to_have_text("Fits")
    expect(rows.nth(2)).to_contain_text("tokens/s")
    expect(rows.nth(1)).to_contain_text("Planning …")
    expect(page.locator("#advice")).to_contain_text("Reading the headers")
    remote.faults.go_on()
    expect(rows.nth(1).locator("[data-f=fit_words]")).to_have_text("Fits")
    expect(page.locator("#advice")).to_contain_text("Q8_0 is recommended.")
    expect(rows.nth(2).get_by_text("Recommended")).to_be_visible()


def test_a_header_that_cannot_be_read_is_told_in_its_row(remote: HubServer, open_hub_page: OpenHubPage) -> None:
    remote.faults.add(ServerError(where="resolve", path="Model-Q5_0.gguf"))
    # The commit is new, so nothing of it is remembered.
    repository = remote.repositories[REPOSITORY]
    repository.commit({path: file.source for path, file in repository.commits[repository.head].items()})
    page = open_hub_page(PAGE)

    expect(page.locator(".variant").nth(1)).to_contain_text("The Hub has a problem of its own (status 503)")
    expect(page.locator("#advice")).to_contain_text("Q8_0 is recommended.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_hubs_pages_have_no_known_barrier(open_hub_page: OpenHubPage, scheme: str) -> None:
    page = open_hub_page(PAGE, color_scheme=scheme, reduced_motion="reduce")
    expect(page.locator(".is-recommended")).to_be_visible()
    assert complaints(page) == []
    for path in (
        "/models/find/",
        "/models/find/?q=model",
        "/models/hub/somebody/A-Gated-Model-GGUF/",
        "/models/hub/no/thing/",
    ):
        page.goto(page.url.partition("/models/")[0] + path)
        assert complaints(page) == [], path


def test_nothing_is_wider_than_a_phone(open_hub_page: OpenHubPage) -> None:
    page = open_hub_page(PAGE, **PHONE)
    expect(page.locator(".is-recommended")).to_be_visible()
    assert sideways(page) == []
    for path in ("/models/find/", "/models/find/?q=model", "/models/hub/somebody/A-Gated-Model-GGUF/"):
        page.goto(page.url.partition("/models/")[0] + path)
        assert sideways(page) == [], path


def test_a_download_is_seen_under_way_and_in_its_row(open_hub_page: OpenHubPage) -> None:
    """No jobs process runs here, so it stays queued."""
    page = open_hub_page(PAGE)
    expect(page.locator(".under-way")).to_be_hidden()
    page.locator(".variant").first.get_by_role("button", name="Download Q4_0").click()

    expect(page.locator(".under-way")).to_contain_text(f"Q4_0 from {REPOSITORY}")
    expect(page.locator(".variant").first).to_contain_text("On its way")
    page.wait_for_load_state()  # before that no script has taken the button, and the form opens the job's page
    page.locator(".under-way").get_by_role("button", name="Cancel").click()
    expect(page.locator(".under-way")).to_contain_text("cancelling")
