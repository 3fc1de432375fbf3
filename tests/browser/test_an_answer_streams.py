"""From a question to its answer, and everything that can come between."""

from __future__ import annotations

import signal

from playwright.sync_api import Page, expect

from inference.core.loads.resident_id import ResidentId
from inference.core.scheduling.reasons import Reason
from tests.browser.conftest import OpenPage, ask, connected
from tests.browser.stage import COMPLETION_VARIANT, VARIANT, Stage
from tests.web.fake_host import evicting, queued, resident


def words(page: Page) -> str:
    return page.locator(".answer .words").last.inner_text()


def test_a_person_sees_every_stage_of_the_wait(stage: Stage, page: Page) -> None:
    ask(page, "Why is the sky blue?")
    wait = page.locator(".answer .wait")
    lease = stage.waiting()
    stage.tell(lease, queued(2, Reason("slots", (ResidentId(1),))))
    expect(wait).to_have_text(f"All slots of {VARIANT} are busy. 1 goes first.")
    stage.tell(lease, evicting(2))
    expect(wait).to_contain_text(f"Making room: {COMPLETION_VARIANT} leaves the memory.")
    stage.tell(lease, {"type": "loading", "fraction": 0.42})
    expect(wait).to_contain_text("42 %")
    expect(wait.get_by_role("progressbar")).to_have_js_property("value", 0.42)
    model = stage.answer(lease)
    model.prefill(300, 1200)
    expect(wait).to_contain_text("300 of 1200 tokens")
    model.say("Because ")
    expect(wait).to_be_hidden()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "true")
    model.say("of Rayleigh scattering.")
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".answer .words")).to_have_text("Because of Rayleigh scattering.")
    expect(page.locator(".facts")).to_contain_text("2 tokens")
    expect(page.locator(".facts")).to_contain_text("tokens/s")
    expect(page.locator(".facts")).to_contain_text("first token after")


def test_reasoning_is_shown_while_it_lasts_and_folded_away_after(stage: Stage, page: Page) -> None:
    ask(page, "Think first.")
    model = stage.answer()
    model.say("Let me ", "think.", reasoning=True)
    thoughts = page.locator("details.reasoning")
    expect(thoughts).to_have_attribute("open", "")
    expect(thoughts.locator("summary")).to_have_text("Thinking…")
    expect(thoughts.locator(".prose")).to_have_text("Let me think.")
    model.say("Done.")
    expect(thoughts).not_to_have_attribute("open", "")
    expect(thoughts.locator("summary")).to_contain_text("Thought for")
    expect(page.locator(".answer .words")).to_have_text("Done.")
    model.done()
    thoughts.locator("summary").click()
    expect(thoughts.locator(".prose")).to_have_text("Let me think.")


def test_a_reload_in_the_middle_loses_and_doubles_nothing(stage: Stage, page: Page) -> None:
    ask(page, "Count with emoji.")
    model = stage.answer()
    pieces = [f"{number} 🧮 naïve, " for number in range(60)]
    model.say(*pieces[:20])
    expect(page.locator(".answer .words")).to_contain_text("19 🧮")
    page.reload()
    model.say(*pieces[20:40])
    expect(page.locator(".answer .words")).to_contain_text("39 🧮")
    page.reload()
    model.say(*pieces[40:])
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    assert words(page) == "".join(pieces).strip()
    page.reload()
    expect(page.locator(".answer .words")).to_contain_text("59 🧮")
    assert words(page) == "".join(pieces).strip()


def test_a_second_tab_follows_the_same_answer(stage: Stage, page: Page, open_page: OpenPage) -> None:
    ask(page, "Tell both of us.")
    model = stage.answer()
    model.say("One ")
    expect(page.locator(".answer .words")).to_have_text("One")
    other = open_page(page.url.removeprefix(stage.url), beside=page)
    expect(other.locator(".answer .words")).to_have_text("One")
    model.say("two ", "three.")
    for tab in (page, other):
        expect(tab.locator(".answer .words")).to_have_text("One two three.")
    model.done()
    for tab in (page, other):
        expect(tab.locator(".answer")).to_have_attribute("aria-busy", "false")


def test_stop_keeps_what_was_written_and_frees_the_model(stage: Stage, page: Page) -> None:
    ask(page, "Go on for ever.")
    model = stage.answer()
    model.say("And ", "so ", "on ")
    expect(page.locator(".answer .words")).to_have_text("And so on")
    page.get_by_role("button", name="Stop the answer").click()
    model.wait_until_cancelled()
    expect(page.locator(".ending-text")).to_have_text("You stopped this answer.")
    expect(page.locator(".answer .words")).to_have_text("And so on")
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()


def test_a_lost_worker_is_said_and_retry_asks_again(stage: Stage, page: Page) -> None:
    ask(page, "Survive this.")
    model = stage.answer()
    model.say("Half an ")
    expect(page.locator(".answer .words")).to_have_text("Half an")
    model.crash()
    expect(page.locator(".ending")).to_contain_text("ended in the middle of the answer")
    expect(page.locator(".answer .words")).to_have_text("Half an")
    page.get_by_role("button", name="Retry").click()
    again = stage.answer()
    again.say("A whole answer.")
    again.done()
    expect(page.locator(".answer .words")).to_have_text("A whole answer.")
    expect(page.locator(".answer .branch-place")).to_have_text("2 / 2")
    page.locator(".answer").get_by_role("button", name="Earlier version").click()
    expect(page.locator(".answer .words")).to_have_text("Half an")


def test_an_edited_question_is_a_branch_of_its_own(stage: Stage, page: Page) -> None:
    ask(page, "First wording")
    model = stage.answer()
    model.say("First answer")
    model.done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    page.locator(".question").hover()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the message").fill("Second wording")
    page.locator(".editor").get_by_role("button", name="Send").click()
    model = stage.answer()
    assert model.request["messages"] == [{"role": "user", "content": "Second wording"}]
    model.say("Second answer")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Second answer")
    expect(page.locator(".question .branch-place")).to_have_text("2 / 2")
    page.locator(".question").get_by_role("button", name="Earlier version").click()
    expect(page.locator(".question .said")).to_have_text("First wording")
    expect(page.locator(".answer .words")).to_have_text("First answer")
    page.reload()
    expect(page.locator(".question .said")).to_have_text("First wording")


def test_an_answer_outlives_the_connection(stage: Stage, page: Page) -> None:
    ask(page, "Keep going without me.")
    model = stage.answer()
    model.say("Before, ")
    expect(page.locator(".answer .words")).to_have_text("Before,")
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    expect(page.locator("#banner")).to_contain_text("keeps being written on the box")
    model.say("during, ")
    page.context.set_offline(False)
    model.say("after.")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Before, during, after.")
    expect(page.locator("#banner")).to_be_hidden()


def test_what_was_said_while_offline_is_sent_once(stage: Stage, page: Page) -> None:
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    ask(page, "Said in a tunnel.")
    expect(page.locator(".sending")).to_have_text("Waiting for the connection…")
    page.context.set_offline(False)
    model = stage.answer()
    model.say("Heard.")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Heard.")
    page.reload()
    expect(page.locator(".question")).to_have_count(1)
    expect(page.locator(".answer .words")).to_have_text("Heard.")


def test_what_was_said_elsewhere_while_offline_does_not_move_the_page(stage: Stage, page: Page) -> None:
    ask(page, "The one that stays open")
    stage.answer().done()
    expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_role("link", name="The one that stays open")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    page.get_by_role("link", name="New chat").click()
    ask(page, "Said and left")
    page.get_by_role("link", name="The one that stays open").first.click()
    page.context.set_offline(False)
    elsewhere = stage.answer()
    expect(page.locator(".question .said")).to_have_text("The one that stays open")
    ask(page, "And goes on")
    here = stage.answer()
    elsewhere.say("Not shown here.")
    elsewhere.done()
    here.say("Shown here.")
    here.done()
    expect(page.locator(".answer .words").last).to_have_text("Shown here.")
    expect(page.locator(".question")).to_have_count(2)


def test_the_page_recovers_from_a_killed_web_process(stage: Stage, page: Page) -> None:
    ask(page, "What if everything stops?")
    model = stage.answer()
    model.say("This ", "much ")
    expect(page.locator(".answer .words")).to_have_text("This much")
    stage.wait_until_stored(page.url.rstrip("/").rsplit("/", 1)[1], "This much ")
    stage.stop_web(signal.SIGKILL)
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    stage.start_web()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator(".ending")).to_contain_text("restarted")
    expect(page.locator(".answer .words")).to_have_text("This much")
    page.get_by_role("button", name="Retry").click()
    model = stage.answer()
    model.say("All of it.")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("All of it.")


def test_a_variant_without_a_template_is_said_to_continue_text(stage: Stage, page: Page) -> None:
    stage.residents(resident(1, VARIANT), resident(2, COMPLETION_VARIANT, mode="completion"))
    page.locator("#picker summary").click()
    page.get_by_label(COMPLETION_VARIANT).check()
    expect(page.locator("#mode")).to_contain_text("Completion mode")
    page.locator("#picker summary").press("Escape")
    ask(page, "Once upon a")
    model = stage.answer(mode="completion")
    assert model.request["prompt"] == "Once upon a"
    model.say(" time")
    model.done("length")
    expect(page.locator(".ending")).to_contain_text("cut here")


def test_a_failed_variant_says_why_in_the_picker(stage: Stage, page: Page) -> None:
    failure = "It needs 1.9 GB, and 1.2 GB are free."
    stage.residents(
        resident(1, VARIANT, queued=3),
        resident(2, COMPLETION_VARIANT, state="failed", failure="out_of_memory", failure_detail=failure),
    )
    page.locator("#picker summary").click()
    expect(page.locator(".variant", has_text=COMPLETION_VARIANT)).to_contain_text(failure)
    expect(page.locator(".variant", has_text=VARIANT)).to_contain_text("3 waiting")
    expect(page.locator(".variant", has_text=VARIANT)).to_contain_text("in memory")


def test_a_variant_without_its_files_is_shown_and_cannot_be_picked(stage: Stage, open_page: OpenPage) -> None:
    # The list of models is read when the web process starts.
    stage.stop_web()
    found = "from models_app.models import Variant; Variant.objects.filter(pk=1).update(problem={!r})"
    stage.manage("shell", "-c", found.format("it is cut short"))
    try:
        stage.start_web()
        page = open_page()
        expect(page.locator("#picker-name")).to_have_text(COMPLETION_VARIANT)
        page.locator("#picker summary").click()
        expect(page.get_by_label(VARIANT)).to_be_disabled()
        row = page.locator(".variant", has_text=VARIANT)
        expect(row).to_contain_text("cannot run")
        expect(row).to_contain_text("Its files cannot be loaded: it is cut short.")
    finally:
        stage.stop_web()
        stage.manage("shell", "-c", found.format(""))
        stage.start_web()


def test_generation_options_are_checked_and_reach_the_model(stage: Stage, page: Page) -> None:
    page.get_by_role("button", name="Generation options").click()
    page.get_by_label("Temperature").fill("9")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("A number from 0 to 5.")).to_be_visible()
    expect(page.get_by_label("Temperature")).to_be_focused()
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Seed").fill("42")
    page.get_by_label("Stop strings").fill("END\n###")
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("button", name="Generation options, 4 set")).to_be_visible()
    ask(page, "Hello")
    model = stage.answer()
    assert {name: model.request["options"][name] for name in ("temperature", "seed", "stop")} == {
        "temperature": 0,
        "seed": 42,
        "stop": ["END", "###"],
    }
    assert model.request["messages"][0] == {"role": "system", "content": "Be brief."}
    model.say("Hi")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Hi")
    page.reload()
    expect(page.get_by_role("button", name="Generation options, 4 set")).to_be_visible()


def test_without_a_host_the_page_says_so_and_the_question_waits(stage: Stage, page: Page) -> None:
    stage.run(stage.host.stop())
    expect(page.locator("#banner")).to_contain_text("The model host does not answer")
    ask(page, "Is anybody there?")
    expect(page.locator(".answer .wait")).to_contain_text("The model host does not answer")
    stage.run(stage.host.start())
    model = stage.answer()
    expect(page.locator("#banner")).to_be_hidden()
    model.say("Yes.")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Yes.")


def test_somebody_elses_conversation_is_not_found(stage: Stage, page: Page, open_page: OpenPage) -> None:
    ask(page, "A secret of alice's.")
    model = stage.answer()
    model.say("Kept.")
    model.done()
    expect(page.locator(".answer .words")).to_have_text("Kept.")
    stranger = open_page(page.url.removeprefix(stage.url), person="bob")
    expect(stranger.get_by_role("heading", name="Nothing is here")).to_be_visible()


def test_a_page_that_is_logged_out_says_so(stage: Stage, open_page: OpenPage) -> None:
    page = open_page(person="bob")
    connected(page)
    page.get_by_label("Message", exact=True).fill("Half a thought")
    page.context.clear_cookies()
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    page.context.set_offline(False)
    expect(page.locator("#banner")).to_contain_text("no longer logged in")
    expect(page.get_by_role("link", name="Log in again")).to_have_attribute("href", "/login/?next=%2Fchat%2F")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Half a thought")
