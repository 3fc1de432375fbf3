"""The whole box: the starter is requantized from its page, and what comes of it answers in the chat."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ARRIVES_MS, WATCH, connected
from tests.stack import Stack, wait_for

PASSWORD = "correct horse battery"


def claim(page: Page, stack: Stack) -> None:
    page.goto(stack.claim_link)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    page.wait_for_url("**/chat/")


def asked(stack: Stack, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(f"file:{stack.data_dir / 'hostui.sqlite3'}?mode=ro", uri=True)) as database:
        return list(database.execute(query))


@pytest.mark.live
def test_a_requantized_starter_answers_in_the_browser(fresh_stack: Stack, chromium: Browser) -> None:
    context = chromium.new_context()
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(ARRIVES_MS)
    claim(page, fresh_stack)
    ((source,),) = asked(fresh_stack, "SELECT name FROM models_app_variant")

    page.goto(f"{fresh_stack.url}/models/{source}/requantize/")
    expect(page.get_by_role("heading", name="Requantize")).to_be_visible()
    # A starter of 4 bits: what speaks against it is said before anything is done.
    expect(page.locator("#answer .notice.warn")).to_contain_text("already")
    page.get_by_label("I pick it from the list").check()
    page.get_by_role("button", name="Show all types").click()
    page.get_by_role("radio", name="Q3_K_M", exact=True).check()
    expect(page.locator("#chosen")).to_have_text(re.compile(r"Q3_K_M, \d+(\.\d)? MiB"))
    page.get_by_role("button", name="Requantize").click()
    page.wait_for_url(f"**/models/{source}/")
    expect(page.locator(".notice.good")).to_contain_text("is being made")

    made = source.replace("Q4_1", "Q3_K_M")
    job = "SELECT state FROM models_app_job WHERE kind = 'requantize'"
    wait_for(lambda: asked(fresh_stack, job) in ([("done",)], [("failed",)]), "the job", ARRIVES_MS / 1000)
    reason = "SELECT reason FROM models_app_job WHERE kind = 'requantize'"
    assert asked(fresh_stack, job) == [("done",)], asked(fresh_stack, reason)
    assert asked(fresh_stack, "SELECT name, origin FROM models_app_variant WHERE origin = 'quantized'") == [
        (made, "quantized")
    ]
    models = Path(fresh_stack.data_dir) / "models"
    assert [path.name for path in models.iterdir() if path.is_file()] == [f"{made}.gguf"]

    page.goto(f"{fresh_stack.url}/chat/")
    connected(page)
    page.locator("#picker summary").click()
    page.get_by_label(made).check()
    page.locator("#picker summary").press("Escape")
    page.get_by_label("Message", exact=True).fill("Say hello.")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(page.locator(".answer .words")).not_to_be_empty(timeout=ARRIVES_MS)
    expect(page.locator("#resident")).to_contain_text("Q3_K_M")
    assert page.evaluate("[...window.hostile, ...window.violations]") == []
    context.close()
