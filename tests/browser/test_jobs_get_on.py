"""Jobs on an open page: they get on, end and are steered without a reload, on every page and for everybody."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.stage import Stage
from tests.browser.test_everybody_can_use_it import PHONE, complaints, sideways

_MAKE = """
import json
from django.contrib.auth.models import User
from models_app.models import Job, JobLine
alice = User.objects.get(username="alice")
common = dict(kind="test", unit="bytes", created_by=alice, total=1 << 30)
running = Job.objects.create(title="Download Long-Name-24B-Instruct-2507-UD-Q4_K_XL from somebody/Long-Name-24B-Instruct-2507-GGUF",
    state="running", stage="Downloading", done=1 << 28, rate_per_second=1 << 24, claimed_by="somebody", **common)
failed = Job.objects.create(title="Verify Other", state="failed", reason="other.gguf no longer has the digest it had.", **common)
JobLine.objects.create(job=running, text="Fetching 1 GiB.")
print(json.dumps([running.pk, failed.pk]))
"""


class Rows:
    """The jobs of the staged box: what happens to them is the test's choice."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.running, self.failed = json.loads(stage.manage("shell", "-v0", "-c", _MAKE).splitlines()[-1])

    def _execute(self, query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self._stage.folder / "hostui.sqlite3", timeout=20)) as database:
            found = database.execute(query, values).fetchall()
            database.commit()
            return found

    def change(self, pk: int, **columns: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        self._execute(f"UPDATE models_app_job SET {names} WHERE id = ?", *columns.values(), pk)  # noqa: S608

    def say(self, pk: int, text: str) -> None:
        query = "INSERT INTO models_app_jobline (job_id, at, level, text) VALUES (?, '2026-01-01 12:00:00', 'info', ?)"
        self._execute(query, pk, text)

    def wish(self, pk: int) -> str:
        return str(self._execute("SELECT wish FROM models_app_job WHERE id = ?", pk)[0][0])

    def remove(self) -> None:
        self._execute("DELETE FROM models_app_jobline")
        self._execute("DELETE FROM models_app_job")


@pytest.fixture
def rows(stage: Stage) -> Iterator[Rows]:
    rows = Rows(stage)
    yield rows
    rows.remove()


def row(page: Page, pk: int) -> Any:
    return page.locator(f'[data-job="{pk}"]')


def test_a_job_gets_on_and_ends_before_ones_eyes(open_page: OpenPage, rows: Rows) -> None:
    page = open_page("/jobs/")
    running = row(page, rows.running)
    expect(running).to_contain_text("256 MiB of 1 GiB · 16.0 MiB/s · 48 s left")
    rows.change(rows.running, done=1 << 29)
    expect(running).to_contain_text("512 MiB of 1 GiB")
    expect(running.get_by_role("progressbar")).to_have_attribute("value", "500")
    rows.change(rows.running, state="done", done=1 << 30)
    expect(running.locator(".job-state")).to_have_text("done")
    expect(running.get_by_role("progressbar")).to_be_hidden()
    expect(running.get_by_role("button", name="Pause")).to_be_hidden()


def test_a_button_says_what_is_wished_for(open_page: OpenPage, rows: Rows) -> None:
    page = open_page("/jobs/")
    row(page, rows.running).get_by_role("button", name="Pause").click()
    expect(row(page, rows.running).locator(".job-state")).to_have_text("pausing")
    assert rows.wish(rows.running) == "pause"
    row(page, rows.failed).get_by_role("button", name="Try again").click()
    expect(row(page, rows.failed).locator(".job-state")).to_have_text("queued")
    expect(row(page, rows.failed).locator(".job-reason")).to_be_hidden()


def test_a_button_that_comes_too_late_says_so(open_page: OpenPage, rows: Rows) -> None:
    page = open_page("/jobs/")
    button = row(page, rows.running).get_by_role("button", name="Cancel")
    expect(button).to_be_visible()
    page.route("**/jobs/*/", lambda route: (rows.change(rows.running, state="done"), route.continue_()))
    button.click()
    expect(page.get_by_role("alert")).to_contain_text("It is too late for that")


def test_the_log_grows_on_the_jobs_own_page(open_page: OpenPage, rows: Rows) -> None:
    page = open_page(f"/jobs/{rows.running}/")
    log = page.locator("#job-log li")
    expect(log).to_have_count(1)
    expect(page.locator("#job-chip")).to_be_visible()
    rows.say(rows.running, "It goes on.")
    expect(log).to_have_count(2)
    expect(log.last).to_contain_text("It goes on.")


def test_every_page_shows_what_is_under_way(open_page: OpenPage, rows: Rows) -> None:
    page = open_page("/chat/")
    chip = page.locator("#job-chip")
    expect(chip).to_contain_text("downloading 25 %")
    rows.change(rows.running, done=3 << 28)
    expect(chip).to_contain_text("downloading 75 %")
    rows.change(rows.running, state="failed")
    expect(chip).to_be_hidden()


@pytest.mark.parametrize("screen", [{}, PHONE], ids=["wide", "phone"])
def test_who_taps_the_chip_sees_each_job_with_its_bytes_rate_and_time(
    open_page: OpenPage, rows: Rows, screen: dict[str, Any]
) -> None:
    rows.change(rows.failed, state="queued", reason="")
    page = open_page("/chat/", **screen)
    chip = page.locator("#job-chip")
    expect(chip.locator("summary")).to_contain_text("2 jobs 25 %")
    facts = chip.get_by_text("256 MiB of 1 GiB · 16.0 MiB/s")
    expect(facts).to_be_hidden()
    chip.locator("summary").click()
    expect(facts).to_be_visible()
    expect(chip.get_by_role("link", name="Verify Other")).to_be_visible()
    assert sideways(page) == []
    assert complaints(page) == []
    chip.get_by_role("link", name="Download Long-Name").focus()
    rows.change(rows.running, done=3 << 28)
    expect(chip.get_by_text("768 MiB of 1 GiB")).to_be_visible()
    expect(chip.get_by_role("link", name="Download Long-Name")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/jobs/{rows.running}/")
    page.locator("#job-chip summary").click()
    page.keyboard.press("Escape")
    expect(page.locator("#job-chip").get_by_role("link", name="All jobs")).to_be_hidden()


def test_members_look_on(open_page: OpenPage, rows: Rows) -> None:
    page = open_page("/jobs/", person="bob")
    expect(row(page, rows.running)).to_contain_text("256 MiB of 1 GiB")
    expect(row(page, rows.running).get_by_role("button")).to_have_count(0)
    assert "digest" not in page.locator("#main").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(open_page: OpenPage, rows: Rows, scheme: str) -> None:
    page = open_page("/jobs/", color_scheme=scheme)
    expect(row(page, rows.running)).to_be_visible()
    assert complaints(page) == []
    page.goto(page.url + f"{rows.running}/")
    assert complaints(page) == []


def test_it_fits_a_phone(open_page: OpenPage, rows: Rows) -> None:
    page = open_page("/jobs/", **PHONE)
    expect(page.locator("#job-chip")).to_be_visible()
    assert sideways(page) == []
    page.goto(page.url + f"{rows.running}/")
    assert sideways(page) == []


def test_the_admins_page_of_a_job_gets_on_by_itself(open_page: OpenPage, rows: Rows) -> None:
    page = open_page(f"/admin/models_app/job/{rows.running}/change/")
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("value", "250")
    page.evaluate("window.isTheSamePage = true")
    rows.change(rows.running, done=1 << 29)
    rows.say(rows.running, "Half of it is here.")
    expect(bar).to_have_attribute("value", "500")
    expect(page.locator("[hx-get]").filter(has=bar)).to_contain_text("Half of it is here.")
    rows.change(rows.running, state="done", done=1 << 30)
    expect(bar).to_have_count(0)
    assert page.evaluate("window.isTheSamePage"), "nobody reloaded it"
