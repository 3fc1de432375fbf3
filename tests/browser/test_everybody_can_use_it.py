"""By keyboard alone, with a screen reader, on a phone, in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, ask, connected
from tests.browser.stage import COMPLETION_VARIANT, VARIANT, Stage
from tests.web.fake_host import resident

AXE = Path(__file__).resolve().parent.parent.parent / "node_modules/axe-core/axe.min.js"
PHONE = {
    "screen": {"width": 360, "height": 720},
    "viewport": {"width": 360, "height": 720},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}

RICH = (
    "## A heading\n\nSome *words*, `code` and a [link](https://example.org/).\n\n"
    "```python\n" + "very_long_line = " + "x + " * 80 + "1\n```\n\n"
    "| a | b | c | d | e | f |\n|---|---|---|---|---|---|\n"
    + "| "
    + " | ".join(["Donaudampfschifffahrt"] * 6)
    + " |\n\n$$\\sum_{k=1}^{n} "
    + "k + " * 60
    + "1$$\n\n"
    + "https://example.org/"
    + "a" * 200
    + "\n\n> quoted\n\n```python\nagain = True\n```\n\n| a |\n|---|\n| b |\n"
)


def answered(stage: Stage, page: Page, text: str = RICH) -> None:
    ask(page, "Everything you can do, " + "unbreakable" * 12)
    model = stage.answer()
    model.say("I think so.", reasoning=True)
    model.say(*[text[start : start + 40] for start in range(0, len(text), 40)])
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".answer .words math")).to_be_attached(attached="math" in text or "$$" in text)


def complaints(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]


def sideways(page: Page) -> list[str]:
    """What makes the page wider than the screen."""
    return list(
        page.evaluate(
            """() => {
              // The screen's own width: a phone makes its viewport wider for a page that does not fit.
              const width = screen.width;
              if (innerWidth <= width && document.documentElement.scrollWidth <= width && document.body.scrollWidth <= width
                && [...document.querySelectorAll(".scroller, .sheet, .door")].every((node) => node.scrollWidth <= node.clientWidth)) return [];
              const frames = ".resident, .code-frame pre, .table-frame, .formula-wide, .sidebar, .unseen";
              return [...document.querySelectorAll("body *")].filter((node) => !node.closest(frames)
                && node.getBoundingClientRect().right > width + 1).map((node) => node.outerHTML.slice(0, 200));
            }"""
        )
    )


# by keyboard --------------------------------------------------------------------------------------------------


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until the control of that name has the focus, and sees that the focus shows."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
              const node = document.activeElement;
              if (node === document.body) return ["", false];
              const style = getComputedStyle(node);
              const label = node.getAttribute("aria-label") ?? node.labels?.[0]?.textContent ?? node.textContent;
              const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
              return [label.trim(), ring || style.boxShadow !== "none" || node.closest(".composer") !== null];
            }"""
        )
        if name in found[0]:
            assert found[1], f"the focus on {name!r} does not show"
            return
    raise AssertionError(f"Tab never reached {name!r}")


def test_a_whole_conversation_by_keyboard_alone(stage: Stage, page: Page) -> None:
    stage.residents(resident(1, VARIANT), resident(2, COMPLETION_VARIANT))
    tab_to(page, "Skip to the message field")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.type("One line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and another")
    page.keyboard.press("Enter")
    model = stage.answer()
    expect(page.locator(".question .said")).to_have_text("One line\nand another")
    model.say("Writing ")
    expect(page.locator(".answer .words")).to_have_text("Writing")
    page.keyboard.press("Escape")
    model.wait_until_cancelled()
    expect(page.locator(".ending-text")).to_have_text("You stopped this answer.")
    tab_to(page, "Model:")
    page.keyboard.press("Enter")
    expect(page.get_by_label(VARIANT)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label(COMPLETION_VARIANT)).to_be_checked()
    page.keyboard.press("Enter")
    tab_to(page, "More for this conversation")
    page.keyboard.press("Enter")
    tab_to(page, "Rename")
    page.keyboard.press("Enter")
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("By keyboard")
    expect(page.locator("#rows a").first).to_contain_text("By keyboard")
    tab_to(page, "Regenerate")
    page.keyboard.press("Enter")
    model = stage.answer()
    assert page.locator("#picker-name").text_content() == COMPLETION_VARIANT
    model.say("Again.")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Again.")
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#title")).to_have_text("New chat")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.press("Control+/")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


def test_the_focus_is_not_lost_with_the_answer_that_is_made_again(stage: Stage, page: Page) -> None:
    ask(page, "Try twice")
    stage.answer().crash()
    tab_to(page, "Retry")
    page.keyboard.press("Enter")
    again = stage.answer()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    again.say("Whole.")
    again.done()
    tab_to(page, "Regenerate")
    page.keyboard.press("Enter")
    stage.answer().done()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    tab_to(page, "Earlier version")
    page.keyboard.press("Enter")
    expect(page.locator(".branch-place:visible")).to_have_text("2 / 3")
    expect(page.get_by_role("button", name="Earlier version")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".branch-place:visible")).to_have_text("1 / 3")
    expect(page.get_by_role("button", name="Later version")).to_be_focused()


def test_enter_of_an_input_method_sends_nothing(page: Page) -> None:
    field = page.get_by_label("Message", exact=True)
    field.fill("にほ")
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "keyCode": 229})
    expect(field).to_have_value("にほ")
    expect(page.locator(".question")).to_have_count(0)


# with a screen reader -----------------------------------------------------------------------------------------


def test_a_screen_reader_hears_beginnings_and_ends_not_tokens(stage: Stage, page: Page) -> None:
    log = page.get_by_role("log")
    expect(log).to_have_attribute("aria-live", "polite")
    page.evaluate(
        """() => {
          window.heard = [];
          new MutationObserver((records) => records.forEach((record) => record.addedNodes.forEach((node) =>
            window.heard.push(node.textContent)))).observe(document.getElementById("announcer"), { childList: true });
        }"""
    )
    ask(page, "Speak to me.")
    model = stage.answer()
    for number in range(20):
        model.say(f"token{number} ")
        expect(page.locator(".answer .words")).to_contain_text(f"token{number}")
    model.done()
    expect(log).to_contain_text("The answer is finished: 20 words.")
    assert page.evaluate("window.heard") == [
        "Sent. Waiting for the answer.",
        "The answer is being written.",
        "The answer is finished: 20 words.",
    ]
    assert page.locator(".messages [aria-live], .messages[aria-live]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_chat_page_has_no_known_barrier(stage: Stage, open_page: OpenPage, scheme: str) -> None:
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    connected(page)
    assert complaints(page) == []
    answered(stage, page)
    assert complaints(page) == []
    page.locator("#picker summary").click()
    assert complaints(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Generation options").click()
    page.get_by_label("Temperature").fill("-1")
    page.get_by_role("button", name="Apply").click()
    assert complaints(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_other_pages_have_no_known_barrier(stage: Stage, open_page: OpenPage, scheme: str) -> None:
    stage.residents(
        resident(1, VARIANT, reserved_bytes=1_200_000_000, queued=1, tokens_per_second=31.4),
        resident(2, COMPLETION_VARIANT, state="loading", fraction=0.3, mode="completion"),
    )
    for path, person in (("/", "alice"), ("/login/", None), ("/claim/never-made/", None), ("/nothing/", "alice")):
        page = open_page(path, person, color_scheme=scheme, reduced_motion="reduce")
        assert complaints(page) == [], path


# on a phone ---------------------------------------------------------------------------------------------------


def test_nothing_is_wider_than_a_phone(stage: Stage, open_page: OpenPage) -> None:
    stage.residents(
        resident(1, VARIANT, reserved_bytes=1_200_000_000),
        resident(
            2, COMPLETION_VARIANT, state="failed", failure="bad_file", failure_detail="The file is cut short. " * 5
        ),
    )
    page = open_page(**PHONE)
    connected(page)
    ask_by_touch(page, "Everything you can do, " + "unbreakable" * 12)
    model = stage.answer()
    model.say(RICH)
    expect(page.locator(".answer .words math")).to_be_attached()
    assert sideways(page) == []
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    assert sideways(page) == []
    page.locator("#picker summary").tap()
    assert sideways(page) == []
    page.locator("#picker summary").tap()
    page.get_by_role("button", name="Generation options").tap()
    assert sideways(page) == []
    for path, person in (("/", "alice"), ("/login/", None), ("/claim/never-made/", None), ("/nothing/", "alice")):
        assert sideways(open_page(path, person, **PHONE)) == [], path


def ask_by_touch(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).tap()
    expect(page.locator(".question .said").last).to_have_text(text)


def test_enter_makes_a_new_line_on_a_touch_keyboard(stage: Stage, open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    connected(page)
    field = page.get_by_label("Message", exact=True)
    expect(field).to_have_attribute("enterkeyhint", "enter")
    field.tap()
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    expect(field).to_have_value("one\ntwo")
    page.get_by_role("button", name="Send", exact=True).tap()
    expect(page.locator(".question .said")).to_have_text("one\ntwo")
    stage.answer().done()


def test_the_composer_stays_in_sight_above_a_soft_keyboard(stage: Stage, open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    connected(page)
    page.get_by_label("Message", exact=True).fill("many\nlines\n" * 20)
    # The keyboard takes more than half of the screen: the page is laid out in what is left.
    page.set_viewport_size({"width": 360, "height": 320})
    expect(page.get_by_label("Message", exact=True)).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_the_drawer_opens_and_closes_and_keeps_the_focus(stage: Stage, page: Page, open_page: OpenPage) -> None:
    ask(page, "Find me in the drawer")
    stage.answer().done()
    phone = open_page(**PHONE)
    connected(phone)
    expect(phone.get_by_role("link", name="New chat")).to_be_hidden()
    phone.get_by_role("button", name="Conversations", exact=True).tap()
    expect(phone.get_by_role("link", name="New chat")).to_be_focused()
    assert complaints(phone) == []
    phone.keyboard.press("Escape")
    expect(phone.get_by_role("button", name="Conversations", exact=True)).to_be_focused()
    phone.get_by_role("button", name="Conversations", exact=True).tap()
    phone.get_by_role("link", name="Find me in the drawer").first.tap()
    expect(phone.locator(".question .said")).to_have_text("Find me in the drawer")
    expect(phone.get_by_role("link", name="New chat")).to_be_hidden()


# and the rest -------------------------------------------------------------------------------------------------


def test_the_reader_who_scrolled_up_is_left_alone(stage: Stage, page: Page) -> None:
    ask(page, "A long one.")
    model = stage.answer()
    model.say(*[f"Line {number}\n\n" for number in range(80)])
    expect(page.locator(".answer .words")).to_contain_text("Line 79")
    expect(page.get_by_text("Line 79", exact=True)).to_be_in_viewport()
    jump = page.get_by_role("button", name="Jump to the latest")
    expect(jump).to_be_hidden()
    page.locator("#scroller").hover()
    page.mouse.wheel(0, -900)
    expect(jump).to_be_visible()
    top = page.evaluate("document.getElementById('scroller').scrollTop")
    model.say(*[f"More {number}\n\n" for number in range(40)])
    expect(page.locator(".answer .words")).to_contain_text("More 39")
    assert page.evaluate("document.getElementById('scroller').scrollTop") == top
    jump.click()
    expect(page.get_by_text("More 39", exact=True)).to_be_in_viewport()
    model.say("The end.")
    model.done()
    expect(page.get_by_text("The end.", exact=True)).to_be_in_viewport()


def test_an_opened_editor_stays_in_sight(stage: Stage, page: Page) -> None:
    ask(page, "A question to edit")
    model = stage.answer()
    model.say("word\n\n" * 30)
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    page.get_by_text("A question to edit").last.scroll_into_view_if_needed()
    page.locator(".question").hover()
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Edit the message")).to_be_focused()
    expect(page.get_by_label("Edit the message")).to_be_in_viewport(ratio=1)


def test_conversations_are_searched_renamed_and_deleted(stage: Stage, page: Page) -> None:
    for text in ("Apples and pears", "Bridges of Paris"):
        page.get_by_role("link", name="New chat").click()
        ask(page, text)
        stage.answer().done()
        expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    page.get_by_label("Search conversations by title").fill("apples")
    expect(page.locator("#rows li")).to_have_count(1)
    page.get_by_role("link", name="Apples and pears").click()
    expect(page.locator("#title")).to_have_text("Apples and pears")
    page.get_by_label("More for this conversation").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("#title")).to_have_text("Apples and pears")
    page.get_by_label("More for this conversation").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#title")).to_have_text("New chat")
    expect(page.locator("#rows-empty")).to_have_text("No title matches.")
    page.get_by_label("Search conversations by title").fill("")
    expect(page.get_by_role("link", name="Bridges of Paris").first).to_be_visible()


def test_drafts_belong_to_their_conversation_and_survive_a_reload(stage: Stage, page: Page) -> None:
    ask(page, "The first")
    stage.answer().done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    field = page.get_by_label("Message", exact=True)
    field.fill("half a follow-up")
    page.get_by_role("link", name="New chat").click()
    expect(field).to_have_value("")
    field.fill("half a new question")
    page.reload()
    expect(field).to_have_value("half a new question")
    page.locator("#rows a").first.click()
    expect(field).to_have_value("half a follow-up")


def test_the_theme_is_chosen_and_remembered(page: Page) -> None:
    page.get_by_label("Account: alice").click()
    page.get_by_text("Dark", exact=True).click()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.reload()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    page.get_by_label("Account: alice").click()
    page.get_by_text("System", exact=True).click()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_the_first_paint_needs_no_script(stage: Stage, page: Page, open_page: OpenPage) -> None:
    ask(page, "Painted by the server")
    model = stage.answer()
    model.say("As plain **text**.")
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    bare = open_page(page.url.removeprefix(stage.url), java_script_enabled=False)
    expect(bare.locator(".question .said")).to_have_text("Painted by the server")
    expect(bare.locator(".answer")).to_contain_text("As plain **text**.")
    expect(bare.locator("#rows a").first).to_contain_text("Painted by the server")
