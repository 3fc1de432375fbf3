"""The inventory in a real browser: plans that come in, states that follow the box, changes without leaving the page, uploads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from inference.core.scheduling.refusals import ShuttingDown
from models_app.intake.part import Part
from tests.browser.conftest import OpenPage
from tests.browser.stage import COMPLETION_VARIANT, Stage
from tests.gguf_builder import SHAPES, build
from tests.web.fake_host import GIB, telemetry, variant_telemetry

_ADD = """
import json
from models_app.catalog.register import add_model
from models_app.models import HardwareProfile
from pathlib import Path
HardwareProfile.objects.get_or_create(is_this_machine=True, defaults=dict(name="this machine", ram_bytes=64 << 30, n_cores=8))
print(json.dumps(add_model(Path({path!r}), name={name!r}).variant.pk))
"""
_REMOVE = "from models_app.models import Variant; Variant.objects.filter(name__startswith='shelved').delete()"


@pytest.fixture
def shelved(stage: Stage) -> Iterator[int]:
    """A variant with a file in the box's own folder, by id."""
    folder = stage.folder / "models"
    folder.mkdir(exist_ok=True)
    path = build(folder / "shelved.gguf", SHAPES["tiny-gqa"], quantization="Q4_K_M")
    printed = stage.manage("shell", "-v", "0", "-c", _ADD.format(path=str(path), name="shelved-Q4_K_M"))
    yield json.loads(printed.splitlines()[-1])
    stage.manage("shell", "-v", "0", "-c", _REMOVE)
    path.unlink(missing_ok=True)


def tell(stage: Stage, *variants: dict[str, Any]) -> None:
    stage.run(stage.host.tell_telemetry(telemetry("delta", 2, variants=list(variants))))


def row(page: Page, pk: int) -> Any:
    return page.locator(f'[data-variant="{pk}"]')


def test_plans_come_in_and_states_follow_the_box(open_page: OpenPage, stage: Stage, shelved: int) -> None:
    page = open_page("/models/")
    expect(row(page, shelved).locator("[data-fit]")).to_have_text("fits in RAM")
    expect(row(page, shelved)).to_contain_text("tokens/s")
    expect(row(page, shelved).locator("[data-state]")).to_have_text("on disk")
    tell(stage, variant_telemetry(shelved, "shelved-Q4_K_M", state="loading", fraction=0.4))
    expect(row(page, shelved).locator("[data-state]")).to_have_text("loading 40%")
    tell(stage, variant_telemetry(shelved, "shelved-Q4_K_M", reserved_bytes=GIB))
    expect(row(page, shelved).locator("[data-state]")).to_have_text("in memory")
    expect(page.locator("#resident")).to_contain_text("shelved-Q4_K_M")
    tell(stage)
    expect(row(page, shelved).locator("[data-state]")).to_have_text("on disk")


def test_a_filter_applies_when_it_is_chosen(open_page: OpenPage, shelved: int) -> None:
    page = open_page("/models/")
    page.get_by_label("Quantization", exact=True).select_option("Q4_K_M")
    expect(page.locator("#shelf tbody tr")).to_have_count(1)
    assert "quantization=Q4_K_M" in page.url
    page.get_by_label("Search this box").fill("nothing like it")
    page.get_by_label("Search this box").press("Enter")
    expect(page.get_by_text("No model is like that.")).to_be_visible()


def test_a_variant_is_loaded_pinned_and_unloaded_on_its_page(open_page: OpenPage, stage: Stage, shelved: int) -> None:
    page = open_page("/models/shelved-Q4_K_M/")
    page.get_by_role("link", name="Load", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("fits: it takes 1 GiB in RAM")
    dialog.get_by_role("button", name="Load", exact=True).click()
    load = stage.run(stage.host.take("load"))
    assert load.request["variant_id"] == shelved
    tell(stage, variant_telemetry(shelved, "shelved-Q4_K_M"))
    expect(page.locator("#state")).to_have_text("in memory")
    expect(page.get_by_role("link", name="Load", exact=True)).to_be_hidden()
    stage.tell(load, {"type": "completed"})

    page.get_by_role("button", name="Pin").click()
    pin = stage.run(stage.host.take("pin"))
    assert pin.request["pinned"] is True
    stage.tell(pin, {"type": "completed"})
    expect(page.get_by_role("button", name="Pin")).to_have_attribute("aria-pressed", "true")

    page.get_by_role("button", name="Unload").click()
    stage.tell(stage.run(stage.host.take("unload")), {"type": "refused", "refusal": ShuttingDown()})
    expect(page.locator("#refusal")).to_have_text("The host is shutting down. Try again when it is back.")


def test_chatting_with_it_opens_the_chat_with_it_picked(open_page: OpenPage) -> None:
    page = open_page(f"/models/{COMPLETION_VARIANT}/")
    page.get_by_role("link", name="Chat with it").click()
    expect(page.locator("#picker-name")).to_have_text(COMPLETION_VARIANT)


def test_a_variant_is_deleted_after_a_question(open_page: OpenPage, stage: Stage, shelved: int) -> None:
    page = open_page("/models/shelved-Q4_K_M/")
    page.get_by_role("link", name="Delete …").click()
    expect(page.get_by_text("Its file is deleted, which frees")).to_be_visible()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_role("status")).to_contain_text("shelved-Q4_K_M is gone.")
    assert not (stage.folder / "models" / "shelved.gguf").exists()


def test_an_upload_goes_on_where_it_was_cut_off(open_page: OpenPage, stage: Stage, tmp_path: Path) -> None:
    path = build(tmp_path / "sent-up-F16.gguf", SHAPES["tiny-gqa"], quantization="F16")
    content = path.read_bytes()
    assert len(content) > 4 << 20
    page = open_page("/models/add/")
    pieces: list[str] = []

    def cut_second(route: Any) -> None:
        pieces.append(route.request.headers["upload-offset"])
        if len(pieces) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/models/upload/*/*/", cut_second)
    page.get_by_label("One GGUF file, or all shards of one").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-said")).to_contain_text("All of it is here.")
    assert pieces == ["0", str(4 << 20), str(4 << 20)]
    (part,) = (stage.folder / "models").glob("*.part")
    assert part.read_bytes()[: len(content)] == content


def test_an_upload_whose_last_answer_is_lost_is_found_complete(
    open_page: OpenPage, stage: Stage, tmp_path: Path
) -> None:
    path = build(tmp_path / "sent-whole-F16.gguf", SHAPES["tiny-gqa"], quantization="F16")
    page = open_page("/models/add/")
    checking: list[Part] = []

    def lose_the_last_answer(route: Any) -> None:
        if route.request.headers["upload-offset"] == "0" or checking:
            route.continue_()
            return
        route.fetch()
        checking.append(Part.open(stage.folder / "models" / path.name))
        route.abort("connectionreset")

    page.route("**/models/upload/*/*/", lose_the_last_answer)
    page.get_by_label("One GGUF file, or all shards of one").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-said")).to_contain_text("All of it is here.")
    checking[0].close()


def test_a_file_that_is_no_model_is_refused_in_words(open_page: OpenPage, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a model")
    page = open_page("/models/add/")
    page.get_by_label("One GGUF file, or all shards of one").set_input_files(path)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#upload-problem")).to_have_text("notes.txt is not a GGUF file.")


@pytest.mark.parametrize("options", [{}, {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}])
def test_no_page_scrolls_sideways_and_the_admin_works_under_its_policy(
    open_page: OpenPage, stage: Stage, shelved: int, options: dict[str, Any]
) -> None:
    page = open_page("/models/", **options)
    for path in (
        "/models/",
        "/models/shelved-Q4_K_M/",
        "/models/shelved-Q4_K_M/delete/",
        "/models/add/",
        "/admin/",
        "/admin/models_app/variant/",
        f"/admin/models_app/variant/{shelved}/change/",
        "/admin/auth/user/",
    ):
        page.goto(stage.url + path)
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, path
