"""The whole box, nothing staged: `manage.py serve`, a real model, a real browser."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ARRIVES_MS, WATCH, connected
from tests.stack import Stack


def stored_answers(stack: Stack) -> list[tuple[str, str]]:
    """State and text of every answer in the database, oldest first."""
    query = "SELECT state, content FROM inference_message WHERE role = 'assistant' ORDER BY created_at"
    with closing(sqlite3.connect(f"file:{stack.data_dir / 'hostui.sqlite3'}?mode=ro", uri=True)) as database:
        return list(database.execute(query))


def copied_answer(page: Page) -> str:
    """The newest answer's source, as its copy button gives it."""
    page.locator(".answer").last.get_by_role("button", name="Copy").last.click()
    expect(page.locator(".answer").last.get_by_role("button", name="Copied").last).to_be_visible()
    return str(page.evaluate("navigator.clipboard.readText()"))


@pytest.mark.live
def test_from_the_claim_link_to_a_streaming_answer(fresh_stack: Stack, chromium: Browser) -> None:
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(ARRIVES_MS)

    # The claim link makes the first administrator, once.
    page.goto(fresh_stack.claim_link)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password", exact=True).fill("correct horse battery")
    page.get_by_label("Password confirmation").fill("correct horse battery")
    page.get_by_role("button", name="Create the account").click()
    page.wait_for_url("**/chat/")
    connected(page)
    other = context.new_page()
    other.goto(fresh_stack.claim_link)
    expect(other.get_by_role("heading", name="This link can no longer be used")).to_be_visible()
    other.close()

    # A long answer streams; a reload in its middle loses nothing.
    page.get_by_role("button", name="Generation options").click()
    page.get_by_label("Longest answer, in tokens").fill("400")
    page.get_by_label("Temperature").fill("0")
    page.get_by_role("button", name="Apply").click()
    page.get_by_label("Message", exact=True).fill("Write a long story about a lighthouse and the sea.")
    page.get_by_label("Message", exact=True).press("Enter")
    words = page.locator(".answer .words")
    expect(words).not_to_be_empty(timeout=ARRIVES_MS)
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "true")
    page.reload()
    expect(words).not_to_be_empty()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false", timeout=ARRIVES_MS)
    expect(page.locator(".facts")).to_contain_text("tokens/s")
    ((state, content),) = stored_answers(fresh_stack)
    assert state == "complete"
    assert len(content) > 100
    assert copied_answer(page) == content
    expect(page.locator("#resident")).to_contain_text("SmolLM2")

    # Stop keeps what was written.
    page.get_by_label("Message", exact=True).fill("Another one, longer.")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(words).to_have_count(2)
    expect(words.last).not_to_be_empty(timeout=ARRIVES_MS)
    page.keyboard.press("Escape")
    expect(page.locator(".ending-text").last).to_have_text("You stopped this answer.")
    state, content = stored_answers(fresh_stack)[-1]
    assert state == "stopped"
    assert copied_answer(page) == content

    # Out, and in again.
    page.goto(fresh_stack.url + "/")
    expect(page.locator("#residents").get_by_role("rowheader", name="SmolLM2")).to_be_visible()
    page.get_by_label("Account: ada").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/chat/")
    expect(page.get_by_role("link", name="Write a long story")).to_be_visible()
    assert page.evaluate("[...window.hostile, ...window.violations]") == []
    context.close()
