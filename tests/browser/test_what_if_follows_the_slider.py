from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.stage import Stage
from tests.gguf_builder import SHAPES, build

SETUP = """
from pathlib import Path
from models_app.catalog.register import add_model
from models_app.models import HardwareProfile
GIB = 1 << 30
for path in map(Path, {paths!r}):
    add_model(path)
HardwareProfile.objects.all().delete()  # what other pages have found out about the real machine
card = dict(name="RTX 3060", memory_bytes=12 * GIB, bandwidth_bytes_per_second=360 * 10**9)
HardwareProfile.objects.create(
    name="this machine", is_this_machine=True, gpus=[card], ram_bytes=64 * GIB, n_cores=8
)
"""
CLEAN = """
from models_app.models import HardwareProfile, Variant
HardwareProfile.objects.all().delete()
Variant.objects.filter(name__startswith="llama-").delete()
"""


@pytest.fixture
def planned(stage: Stage, tmp_path: Path, open_page: OpenPage):  # type: ignore[no-untyped-def]
    """The page, with an 8B and a 70B model to plan on a 12 GB card."""
    paths = [str(build(tmp_path / f"{name}.gguf", SHAPES[name], quantization="Q4_K_M")) for name in MODELS]
    stage.manage("shell", "-c", SETUP.format(paths=paths))
    yield open_page(f"/hardware/?variant={MODELS[0]}-Q4_K_M&slots=1")
    stage.manage("shell", "-c", CLEAN)


MODELS = ("llama-8b", "llama-70b")


def width(page: Page, device: str, kind: str) -> float:
    bar = page.locator(".bar", has_text=device)
    return float(bar.locator(f"rect.{kind}").get_attribute("width") or "nan")


def settled(page: Page) -> None:
    expect(page.locator("#plan")).not_to_have_class(re.compile("stale"))


def test_moving_the_context_changes_the_bar_and_the_alternatives(planned: Page) -> None:
    page = planned
    context = page.get_by_role("slider", name="Context of each slot")
    expect(page.get_by_role("button", name="Plan it")).to_be_hidden()
    expect(page.locator("#plan-headline")).to_contain_text("All 33 layers on the GPU")
    before = width(page, "RTX 3060", "kv")
    context.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Context of each slot, in tokens")).to_have_value("8192")
    expect(context).to_have_attribute("aria-valuetext", "8192 tokens")
    settled(page)
    assert width(page, "RTX 3060", "kv") == pytest.approx(2 * before, rel=0.01)
    expect(page.locator(".way").first).to_contain_text("1 × 8,192 tokens")
    assert "ctx=8192" in page.url

    slots = page.get_by_label("Slots: answers at once")
    slots.fill("16")
    settled(page)
    expect(page.locator("#plan-headline")).to_contain_text(re.compile(r"\d+ of 33 layers on the GPU"))
    second = page.locator(".way").nth(1)
    title = second.locator(".way-title").inner_text()
    second.click()
    expect(second).to_have_attribute("aria-current", "true")
    expect(page.locator(".headline-title")).to_have_text(title)


def test_another_model_brings_its_own_wishes_and_what_to_know(planned: Page) -> None:
    page = planned
    page.get_by_label("Model", exact=True).select_option("llama-70b-Q4_K_M")
    expect(page.get_by_label("Slots: answers at once")).to_have_value("4")
    expect(page.locator("#plan-cautions")).to_contain_text("Slow: about")
    page.get_by_label("Machine", exact=True).select_option("NVIDIA H100 80GB HBM3")
    expect(page.locator("#plan-headline")).to_contain_text("All 81 layers on the GPU")
    expect(page.locator("#announcer")).to_contain_text("tokens per second. All 81 layers on the GPU.")


def test_a_wrong_number_is_told_and_the_old_plan_stands_back(planned: Page) -> None:
    page = planned
    number = page.get_by_label("Context of each slot, in tokens")
    number.fill("7")
    expect(page.locator("#w-ctx-problem")).to_have_text("The context must be a whole number from 64 to 4,194,304.")
    expect(page.locator("#plan")).to_have_class(re.compile("stale"))
    number.fill("1024")
    expect(page.locator("#w-ctx-problem")).to_be_hidden()
    settled(page)


def test_an_answer_to_an_earlier_question_is_dropped(planned: Page) -> None:
    page = planned
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "ctx=1024" in route.request.url:
            held.append(route)
        else:
            route.continue_()

    page.route("**/hardware/plan.json?**", hold)
    number = page.get_by_label("Context of each slot, in tokens")
    with page.expect_request(re.compile("ctx=1024")):
        number.fill("1024")
    number.fill("2048")
    expect(page.locator(".way").first).to_contain_text("1 × 2,048 tokens")
    (route,) = held
    route.continue_()
    number.fill("3072")
    expect(page.locator(".way").first).to_contain_text("1 × 3,072 tokens")
    settled(page)


def test_without_a_script_the_form_asks_by_its_button(planned: Page, open_page: OpenPage) -> None:
    page = open_page("/hardware/?variant=llama-8b-Q4_K_M", java_script_enabled=False)
    expect(page.get_by_role("slider")).to_have_count(0)
    page.get_by_label("Context of each slot, in tokens").fill("1024")
    page.get_by_role("button", name="Plan it").click()
    expect(page.locator(".way").first).to_contain_text("4 × 1,024 tokens")
