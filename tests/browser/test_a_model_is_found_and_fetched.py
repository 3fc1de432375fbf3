"""The whole box and a Hub: a model is searched, planned, downloaded and answers. Nothing is staged but the Hub."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import ARRIVES_MS, WATCH, connected
from tests.gguf_builder import TINY, build
from tests.hub import HubServer
from tests.stack import running_stack

REPOSITORY = "somebody/Tiny-Random-GGUF"


@pytest.mark.live
def test_from_a_search_to_an_answer(hub: HubServer, chromium: Browser, tmp_path: Path, starter_path: Path) -> None:
    shape = next(shape for shape in TINY if shape.name == "tiny-gqa")
    for quantization, split in (("Q4_0", 1), ("Q8_0", 2), ("F16", 1)):
        path = tmp_path / f"Tiny-Random-{quantization}.gguf"
        build(path, shape, quantization=quantization, body="random", vocabulary=starter_path, split=split)
    files = {path.name: path for path in sorted(tmp_path.glob("*.gguf"))}
    hub.add(REPOSITORY, files)
    with running_stack(HF_ENDPOINT=hub.endpoint) as stack:
        context = chromium.new_context()
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(ARRIVES_MS)
        account = stack.admin
        page.goto(f"{stack.url}/login/?next=/models/")
        page.get_by_label("Username").fill(account.username)
        page.get_by_label("Password").fill(account.password)
        page.get_by_role("button", name="Log in").click()

        page.get_by_label("Search the Hub").fill("tiny random")
        page.get_by_label("Search the Hub").press("Enter")
        page.get_by_role("link", name=REPOSITORY).click()
        row = page.locator(".variant.is-recommended")
        expect(row).to_contain_text("Q8_0", timeout=ARRIVES_MS)
        expect(row).to_contain_text("tokens/s")
        assert not list((stack.data_dir / "models").glob("**/*.gguf*"))

        row.get_by_role("button", name="Download").click()
        downloaded = page.locator(".variant", has_text="Q8_0").locator(".variant-end .chip")
        expect(downloaded).to_have_text("On this box", timeout=ARRIVES_MS)
        here = sorted((stack.data_dir / "models").glob("*.gguf"))
        assert [path.name for path in here] == [
            "Tiny-Random-Q8_0-00001-of-00002.gguf",
            "Tiny-Random-Q8_0-00002-of-00002.gguf",
        ]
        for path in here:
            assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(files[path.name].read_bytes()).digest()

        page.reload()
        expect(downloaded).to_have_text("On this box")
        downloaded.locator("xpath=following-sibling::a").click()
        expect(page.get_by_role("heading", name="Tiny-Random-Q8_0")).to_be_visible()
        page.goto(f"{stack.url}/models/Tiny-Random-Q8_0/requantize/?goal=type&type=F16")
        expect(page.locator("a[data-sources-url]")).to_contain_text("Better sources on the Hub: F16 (")
        page.goto(f"{stack.url}/chat/")
        connected(page)
        page.locator("#picker summary").click()
        page.locator("#variant-list").get_by_text("Tiny-Random-Q8_0").click()
        page.get_by_label("Message", exact=True).fill("Hello!")
        page.get_by_label("Message", exact=True).press("Enter")
        expect(page.locator(".answer .words")).not_to_be_empty(timeout=ARRIVES_MS)
        assert page.evaluate("[...window.hostile, ...window.violations]") == []
        context.close()
