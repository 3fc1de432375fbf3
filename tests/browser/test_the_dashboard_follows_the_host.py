"""The dashboard: painted by the server, patched by the socket, usable by keyboard, on a phone, in the dark and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from inference.core.loads.devices import BytesOn
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.monitoring.alarms import Alarm
from inference.core.scheduling.decisions import Loaded, LoadRefused, Unloaded
from inference.core.scheduling.preview import Leaver
from inference.core.scheduling.reasons import ForLoading
from inference.core.scheduling.refusals import DoesNotFit, FailedToLoad
from tests.browser.conftest import OpenPage
from tests.browser.stage import COMPLETION_VARIANT, VARIANT, Stage
from tests.browser.test_everybody_can_use_it import PHONE, complaints, sideways, tab_to
from tests.web.fake_host import GIB, decision, device, preview, refused, segment, telemetry, variant_telemetry, waiting

CARD = "NVIDIA GeForce RTX 3060"
LOADING = ForLoading(0.42)
SPILLS = Alarm(ResidentId(1), "gpu0", "spilling", 1.0, 9.0, None, None)


def loaded(variant_id: int) -> Loaded:
    holds = (BytesOn("gpu0", CARD, int(6.5 * GIB)),)
    return Loaded(ResidentId(variant_id), LoadOptions(), holds, 0, 1, 1.0, 1.0, "best", 1, 2.0)


def card(*segments: dict[str, Any], **facts: Any) -> dict[str, Any]:
    known = {"utilisation_percent": 87, "bandwidth_percent": 60, "temperature_celsius": 64, "power_watts": 142.0}
    return device("gpu0", CARD, segments, **{**known, **facts})


def held(variant_id: int, weights: float, kv: float) -> list[dict[str, Any]]:
    return [
        segment("weights", int(weights * GIB), variant_id),
        segment("kv", int(kv * GIB), variant_id),
        segment("compute", GIB // 4, variant_id),
    ]


def busy_box() -> dict[str, Any]:
    """A card with one model in use and another one loading, two people waiting, and something to explain."""
    return telemetry(
        "backlog",
        at=[1_800_000_000.0 + n for n in range(60)],
        series={
            "gpu0.used_bytes": [8 * GIB] * 60,
            "gpu0.utilisation_percent": [80] * 60,
            "variant.1.tokens_per_second": [None] * 20 + [40.5] * 40,
        },
        devices=[
            card(
                *held(1, 5.2, 1.1),
                segment("reserved", GIB, 2),
                segment("foreign", GIB),
                foreign_bytes=GIB,
                reserve_bytes=GIB,
            ),
            device(),
        ],
        variants=[
            variant_telemetry(1, VARIANT, pinned=True, slots_busy=3, tokens_per_second=41.7, alarm=SPILLS),
            variant_telemetry(2, COMPLETION_VARIANT, state="loading", fraction=0.42, load_seconds=None, queued=2),
        ],
        queue=[waiting(1, "2", 2, LOADING), waiting(2, "1", 2, LOADING)],
        decisions=[
            decision(1, loaded(1)),
            decision(2, LoadRefused(ResidentId(1), DoesNotFit("gpu0", 9 * GIB, GIB, device_name=CARD))),
        ],
    )


def idle(*variant_ids: int) -> dict[str, Any]:
    return {"evicts": tuple(Leaver(ResidentId(each), {"ram": GIB}, 180.0, 0, 4.0, 0.5) for each in variant_ids)}


def busy(*variant_ids: int, answers: int = 1) -> dict[str, Any]:
    return {"waits_for": tuple(Leaver(ResidentId(each), {"ram": GIB}, None, answers, 4.0, 0.5) for each in variant_ids)}


@pytest.fixture
def box(stage: Stage) -> Iterator[Stage]:
    stage.host.backlog = busy_box()
    yield stage
    stage.host.backlog = telemetry("backlog")
    stage.host.previews = {False: preview(1), True: preview(1)}


def live(page: Page) -> Page:
    expect(page.locator("#live")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def width(page: Page, kind: str, variant_id: int) -> float:
    return float(page.locator(f'[data-device=gpu0] rect[data-key="{variant_id} {kind}"]').get_attribute("width") or 0)


def test_bars_queue_and_reasons_follow_the_socket(box: Stage, open_page: OpenPage) -> None:
    page = live(open_page("/"))
    assert width(page, "weights", 1) == pytest.approx(325, abs=0.1)
    expect(page.locator("#queue li")).to_have_count(2)
    expect(page.locator("#queue li").nth(1)).to_contain_text("you")
    box.run(box.host.tell_telemetry(_later()))
    expect(page.locator("#queue li")).to_have_count(1)
    assert width(page, "kv", 1) == pytest.approx(137.5, abs=0.1)
    assert width(page, "weights", 2) == pytest.approx(250, abs=0.1)
    expect(page.locator("[data-device=gpu0] rect.foreign")).to_have_count(0)
    expect(page.locator("[data-device=gpu0] .legend tr", has_text=COMPLETION_VARIANT)).to_contain_text("4.75 GiB")
    expect(page.locator("[data-device=ram]")).to_have_count(0)
    expect(page.locator("#log li").first).to_contain_text(f"{COMPLETION_VARIANT} is loaded with 6.50 GiB on {CARD}.")
    expect(page.locator("#announcer")).to_contain_text(f"{COMPLETION_VARIANT} is loaded with 6.50 GiB on {CARD}.")
    row = page.locator("#residents tr", has_text=COMPLETION_VARIANT)
    expect(row).to_contain_text("in memory")
    expect(page.locator("#resident")).to_contain_text(COMPLETION_VARIANT)


def _later() -> dict[str, Any]:
    return telemetry(
        "delta",
        2,
        devices=[card(*held(1, 5.2, 2.2), *held(2, 4, 0.5))],
        variants=[variant_telemetry(1, VARIANT), variant_telemetry(2, COMPLETION_VARIANT)],
        queue=[waiting(1, "1", 2, LOADING)],
        decisions=[decision(3, loaded(2))],
    )


def test_the_page_comes_back_after_the_host_and_after_the_web(box: Stage, open_page: OpenPage) -> None:
    page = live(open_page("/"))
    box.run(box.host.stop())
    expect(page.locator("#live-words")).to_have_text("host away")
    expect(page.locator("#banner")).to_contain_text("The model host does not answer.")
    box.host.backlog = telemetry("backlog", pid=4712)
    box.run(box.host.start())
    live(page)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#host-facts")).to_contain_text("4712")
    expect(page.locator("#residents-empty")).to_be_visible()
    expect(page.locator("#log-empty")).to_be_visible()
    box.stop_web()
    expect(page.locator("#live-words")).to_have_text("not connected")
    box.start_web()
    live(page)


def test_what_the_server_paints_is_what_the_script_shows(box: Stage, open_page: OpenPage) -> None:
    painted = open_page("/", java_script_enabled=False)
    shown = live(open_page("/"))
    for part in ("#devices", "#residents", "#queue"):
        assert painted.locator(part).inner_text() == shown.locator(part).inner_text(), part


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_dashboard_has_no_known_barrier(box: Stage, open_page: OpenPage, scheme: str) -> None:
    page = live(open_page("/", color_scheme=scheme, reduced_motion="reduce"))
    expect(page.locator(".uplot")).to_have_count(3)
    assert complaints(page) == []
    box.host.previews = {False: preview(2, "waits", **busy(1)), True: preview(2, "evicts", **idle(1))}
    box.run(box.host.tell_telemetry(telemetry("delta", 2)))
    page.locator("#inventory li", has_text=COMPLETION_VARIANT).get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert complaints(page) == []


def test_nothing_is_wider_than_a_phone(box: Stage, open_page: OpenPage) -> None:
    page = live(open_page("/", **PHONE))
    expect(page.locator(".uplot")).to_have_count(3)
    assert sideways(page) == []
    box.host.previews = {False: preview(2, "waits", **busy(*[1] * 20)), True: preview(2, "evicts", **idle(1))}
    box.run(box.host.tell_telemetry(telemetry("delta", 2)))
    page.locator("#inventory li", has_text=COMPLETION_VARIANT).get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert sideways(page) == []
    assert sideways(open_page("/residency/2/", **PHONE)) == []


def test_a_bar_is_told_part_by_part_with_the_arrow_keys(box: Stage, open_page: OpenPage) -> None:
    page = live(open_page("/"))
    page.locator("[data-device=gpu0] svg").focus()
    readout = page.locator("[data-device=gpu0] .readout")
    page.keyboard.press("ArrowRight")
    expect(readout).to_have_text(f"{VARIANT}: weights 5.20 GiB")
    page.keyboard.press("ArrowRight")
    expect(readout).to_have_text(f"{VARIANT}: KV cache 1.10 GiB")


# loading ------------------------------------------------------------------------------------------------------


def test_a_load_says_what_it_would_do_and_follows_by_keyboard_alone(stage: Stage, open_page: OpenPage) -> None:
    said = (
        f"{VARIANT} takes 1 GiB in RAM and loads in about 1 s, "
        f"after {COMPLETION_VARIANT} (idle for 3 min, reload about 4 s) has left."
    )
    stage.host.previews = {False: preview(1, "evicts", **idle(2)), True: preview(1)}
    page = live(open_page("/"))
    tab_to(page, f"Load {VARIANT}")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Load {VARIANT}?")
    expect(dialog).to_have_accessible_description(said)
    expect(dialog.get_by_role("button", name="Load anyway")).to_be_hidden()
    expect(dialog.get_by_role("button", name="Load", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name=f"Load {VARIANT}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.keyboard.press("Enter")
    line = stage.run(stage.host.take("load"))
    assert line.request == {"type": "load", "variant_id": 1, "anyway": False}
    stage.tell(line, {"type": "completed"})
    expect(dialog).to_be_hidden()


def test_load_anyway_stands_beside_a_load_that_waits_and_its_refusal_is_told(stage: Stage, open_page: OpenPage) -> None:
    stage.host.previews = {
        False: preview(1, "waits", **busy(2)),
        True: preview(1, "waits", **busy(2), anyway=True),
    }
    page = live(open_page("/"))
    page.get_by_role("link", name=f"Load {VARIANT}").click()
    dialog = page.get_by_role("dialog")
    waits = f"{VARIANT} waits for {COMPLETION_VARIANT} (busy with 1 answer) to finish; "
    expect(dialog).to_contain_text(waits)
    expect(dialog).to_contain_text("Loaded anyway, it waits only for the answer that runs now.")
    stage.host.previews[False] = preview(1, "waits", **busy(2, answers=2))
    stage.run(
        stage.host.tell_telemetry(telemetry("delta", 2, decisions=[decision(1, Unloaded(ResidentId(1), "asked"))]))
    )
    expect(dialog).to_contain_text("busy with 2 answers")
    dialog.get_by_role("button", name="Load anyway").click()
    line = stage.run(stage.host.take("load"))
    assert line.request["anyway"] is True
    stage.tell(line, refused(FailedToLoad("bad_file", "The file is gone.")))
    expect(page.get_by_role("alert")).to_have_text(f"{VARIANT} could not be loaded. The file is gone.")


def test_without_a_script_a_load_asks_on_a_page_of_its_own(stage: Stage, open_page: OpenPage) -> None:
    stage.host.previews = {False: preview(1), True: preview(1)}
    page = open_page("/", java_script_enabled=False)
    page.get_by_role("link", name=f"Load {VARIANT}").click()
    expect(page.get_by_role("heading", name=f"Load {VARIANT}?")).to_be_visible()
    expect(page.locator("main")).to_contain_text(f"{VARIANT} fits: it takes 1 GiB in RAM")
    page.get_by_role("button", name="Load", exact=True).click(no_wait_after=True)
    line = stage.run(stage.host.take("load"))
    stage.tell(line, {"type": "completed"})
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def test_residents_are_unloaded_and_pinned_from_their_row(box: Stage, open_page: OpenPage) -> None:
    page = live(open_page("/"))
    row = page.locator("#residents tr", has_text=VARIANT)
    expect(row.get_by_role("button", name=f"Pin {VARIANT}")).to_have_attribute("aria-pressed", "true")
    row.get_by_role("button", name=f"Pin {VARIANT}").click()
    line = box.run(box.host.take("pin"))
    assert line.request["pinned"] is False
    box.tell(line, {"type": "completed"})
    row.get_by_role("button", name=f"Unload {VARIANT}").click()
    line = box.run(box.host.take("unload"))
    assert line.request["variant_id"] == 1
    box.tell(line, {"type": "completed"})


def test_a_worker_that_reads_has_a_name_and_nothing_to_press(box: Stage, open_page: OpenPage) -> None:
    name = f"{VARIANT} (importance matrix)"
    reads = variant_telemetry(1, name, purpose="imatrix", slots_busy=1, n_seq_max=1, n_ctx_seq=512)
    box.host.backlog = telemetry(
        "backlog",
        devices=[card(*held(1, 5.2, 1.1), *({**each, "purpose": "imatrix"} for each in held(1, 3, 0.1)))],
        variants=[variant_telemetry(1, VARIANT), reads],
        at=[1_800_000_000.0, 1_800_000_001.0],
        series={"variant.1.tokens_per_second": [1.0, 2.0], "variant.1.imatrix.tokens_per_second": [3.0, 4.0]},
    )
    painted = open_page("/", java_script_enabled=False)
    row = painted.locator("#residents tr", has_text=name)
    expect(row.locator("button").first).to_be_hidden()
    page = live(open_page("/"))
    row = page.locator("#residents tr", has_text=name)
    expect(row).to_contain_text("in memory")
    for button in ("Pin", "Unload"):
        expect(row.locator("button", has_text=button)).to_be_hidden()
    expect(page.locator("#residents tr").first.locator("button", has_text="Pin")).to_be_visible()
    expect(page.locator("[data-device=gpu0] .legend tr", has_text=name)).to_be_visible()
    colours = page.locator("[data-device=gpu0] .legend .swatch.weights")
    assert len({colours.nth(n).get_attribute("class") for n in range(2)}) == 2
    expect(page.locator("[data-chart=speed] .u-legend .u-label", has_text=name)).to_have_count(1)
    box.run(box.host.tell_telemetry(telemetry("delta", 2, variants=[reads])))
    expect(page.locator("#residents tr")).to_have_count(1)
    expect(page.locator("#inventory li", has_text=VARIANT).first.locator(".chip")).to_have_text("on disk")


def test_who_does_not_run_the_box_sees_everything_and_can_press_nothing(box: Stage, open_page: OpenPage) -> None:
    page = live(open_page("/", "bob"))
    expect(page.locator("#residents tr")).to_have_count(2)
    assert page.locator("main").get_by_role("button").count() == 0
    assert page.get_by_role("link", name="Load").count() == 0
