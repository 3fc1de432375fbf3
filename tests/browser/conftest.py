"""A real Chromium. It is started for this folder alone: Playwright's loop must not outlive it into the async tests of others."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.stage import PASSWORD, Stage

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DEADLINE_MS = 15_000
ARRIVES_MS = 120_000
"""A real model on a small, busy machine: it has to be loaded, and it writes slowly."""

WATCH = """
window.hostile = [];
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
window.alert = window.confirm = window.prompt = (text) => window.hostile.push(String(text));
"""
"""Whatever a model gets to run says so in `hostile`; whatever the browser had to forbid stands in `violations`."""

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.fail("no Chromium on this machine: install the package chromium")
    expect.set_options(timeout=DEADLINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def _stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="hostui-") as folder:
        stage = Stage(Path(folder))
        stage.start()
        yield stage
        stage.stop()


@pytest.fixture
def stage(_stage: Stage) -> Stage:
    """The staged box, as each test expects to find it."""
    _stage.reset()
    return _stage


@pytest.fixture(scope="package")
def _logged_in(chromium: Browser, _stage: Stage) -> Callable[[str], Any]:
    """Cookies of a person, logged in once through the real page."""
    known: dict[str, Any] = {}

    def state(person: str) -> Any:
        if person not in known:
            context = chromium.new_context()
            page = context.new_page()
            page.goto(f"{_stage.url}/login/")
            page.get_by_label("Username").fill(person)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url("**/chat/")
            known[person] = context.storage_state()
            context.close()
        return known[person]

    return state


@pytest.fixture
def open_page(chromium: Browser, stage: Stage, _logged_in: Callable[[str], Any]) -> Iterator[OpenPage]:
    """Opens a page of the staged box; at the end of the test none may have run or tried anything it should not."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_page(
        path: str = "/chat/", person: str | None = "alice", beside: Page | None = None, **options: Any
    ) -> Page:
        """`beside`: as another tab of that page's browser."""
        if beside is not None:
            context = beside.context
        else:
            context = chromium.new_context(storage_state=_logged_in(person) if person else None, **options)
            context.set_default_timeout(DEADLINE_MS)
            context.add_init_script(WATCH)
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"{error}\n{error.stack}"))
        page.on(
            "request",
            lambda request: request.url.startswith((stage.url, "data:", "blob:")) or faults.append(request.url),
        )
        page.goto(stage.url + path)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            if page.url.startswith(stage.url):
                faults += page.evaluate("[...window.hostile, ...window.violations]")
        context.close()
    assert faults == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The chat page of alice, connected."""
    page = open_page()
    connected(page)
    return page


def connected(page: Page) -> None:
    """Waits until the page follows the socket: the model that can be picked has come over it or with the page."""
    expect(page.locator("#picker-name")).not_to_have_text("Model")


def ask(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_label("Message", exact=True).press("Enter")
    expect(page.locator(".question .said").last).to_have_text(text)
