"""The hardware page through Django's client: who may look and change, what is refused and how, and what is remembered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from inference.web.hardware import views
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB
from models_app.models import HardwareProfile
from tests.gguf_builder import SHAPES, build
from tests.web.fake_host import resident
from tests.web.pages import text_of

pytestmark = pytest.mark.django_db

CARD: dict[str, Any] = {"name": "RTX 3060", "memory_bytes": 12 * GIB, "bandwidth_bytes_per_second": 360 * 10**9}


@pytest.fixture
def box() -> HardwareProfile:
    return HardwareProfile.objects.create(
        name="this machine",
        is_this_machine=True,
        gpus=[{**CARD, "budget": "90%"}],
        ram_bytes=64 * GIB,
        ram_bandwidth_bytes_per_second=60 * 10**9,
        n_cores=8,
    )


@pytest.fixture
def visitor(client: Client) -> Client:
    client.force_login(User.objects.create_user("visitor"))
    return client


@pytest.fixture
def owner() -> Client:
    """Staff, and no more than that."""
    client = Client()
    client.force_login(User.objects.create_user("owner", is_staff=True))
    return client


def save(client: Client, box: HardwareProfile, device: str = "gpu0", **fields: str) -> Any:
    stored = {"was_budget": "90%" if device == "gpu0" else "", "was_reserve": ""}
    url = reverse("hardware-amounts", args=[box.pk, device])
    return client.post(url, {**stored, "budget": "", "reserve": "", **fields}, follow=True)


def gpu(box: HardwareProfile) -> dict[str, Any]:
    box.refresh_from_db()
    found: dict[str, Any] = box.gpus[0]
    return found


# looking ------------------------------------------------------------------------------------------------------


def test_nobody_sees_it_without_a_login(client: Client, box: HardwareProfile) -> None:
    for name in ("hardware", "hardware-plan"):
        assert client.get(reverse(name)).status_code == 302


def test_everybody_sees_the_machine_and_nobody_but_staff_gets_a_form(
    visitor: Client, owner: Client, box: HardwareProfile
) -> None:
    for client, may_edit in ((visitor, False), (owner, True)):
        response = client.get(reverse("hardware"))
        told = text_of(response)
        assert "RTX 3060 (12.0 GiB), 64.0 GiB RAM, 8 cores" in told
        assert "reads 360 GB/s" in told
        assert "10.8 GiB may be spent" in told
        assert (reverse("hardware-amounts", args=[box.pk, "gpu0"]) in response.content.decode()) is may_edit
        assert ("Who changed what" in told) is may_edit
        assert ("Measure again" in told) is may_edit


def test_what_is_empty_says_so_and_what_to_do(visitor: Client, owner: Client, box: HardwareProfile) -> None:
    HardwareProfile.objects.update(gpus=[])
    told = text_of(owner.get(reverse("hardware")))
    assert "No graphics card was found" in told
    assert "manage.py add_model" in told
    assert "None yet." in told
    assert "Nothing was changed yet." in told
    assert "Whoever runs this box can add one." in text_of(visitor.get(reverse("hardware")))


def test_the_boxs_setting_is_shown_where_it_goes_before_the_stored_budget(
    visitor: Client, box: HardwareProfile, settings: Any
) -> None:
    settings.BUDGET_BYTES = 5 * GIB
    told = text_of(visitor.get(reverse("hardware")))
    assert "HOSTUI_BUDGET is set to 5 GiB on this box" in told
    assert "5 GiB may be spent" in told


# changing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("hardware-amounts", ["gpu0"]),
        ("hardware-measure", None),
        ("hardware-add", None),
        ("hardware-delete", []),
    ],
)
def test_only_staff_changes_anything(
    visitor: Client, box: HardwareProfile, name: str, arguments: list[str] | None
) -> None:
    url = reverse(name, args=None if arguments is None else [box.pk, *arguments])
    assert visitor.post(url, {"budget": "1GiB"}).status_code == 403
    assert visitor.get(url).status_code in (403, 405)
    assert gpu(box)["budget"] == "90%"
    assert not LogEntry.objects.exists()


def test_amounts_are_saved_logged_and_undone(owner: Client, box: HardwareProfile) -> None:
    response = save(owner, box, budget="11GiB", reserve="256MiB")
    assert (gpu(box)["budget"], gpu(box)["reserve"]) == ("11GiB", "256MiB")
    told = "Budget of RTX 3060: 90% → 11GiB; reserve of RTX 3060: default → 256MiB."
    assert told in text_of(response)
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id, entry.change_message) == ("owner", str(box.pk), told)

    undo = response.context["undo"]
    owner.post(undo["url"], undo["fields"])
    assert gpu(box) == {**CARD, "budget": "90%"}
    assert LogEntry.objects.count() == 2
    assert "11GiB → 90%" in text_of(owner.get(reverse("hardware")))


def test_the_rams_amounts_have_columns_of_their_own(owner: Client, box: HardwareProfile) -> None:
    save(owner, box, "ram", budget="75%", reserve="4GiB")
    box.refresh_from_db()
    assert (box.ram_budget, box.ram_reserve, box.gpus[0]["budget"]) == ("75%", "4GiB", "90%")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"budget": "13GiB"}, "13GiB is more than the card has, 12.0 GiB."),
        ({"budget": "lots"}, "“lots” is no amount of memory. Write it as 11.5GiB or 90%."),
        ({"reserve": "12"}, "12 of what? Write 12GiB or 12%."),
    ],
)
def test_wrong_amounts_change_nothing_and_say_why_at_their_field(
    owner: Client, box: HardwareProfile, written: dict[str, str], says: str
) -> None:
    response = save(owner, box, **written)
    assert response.status_code == 422
    assert says in text_of(response)
    page = response.content.decode()
    assert f'value="{next(iter(written.values()))}"' in page
    assert page.count('aria-invalid="true"') == 1
    assert gpu(box)["budget"] == "90%"
    assert not LogEntry.objects.exists()


def test_the_slower_of_two_people_is_told_and_overwrites_nothing(owner: Client, box: HardwareProfile) -> None:
    save(owner, box, budget="8GiB")
    response = save(owner, box, budget="9GiB")
    assert response.status_code == 409
    assert "Somebody changed this meanwhile: the budget is 8GiB" in text_of(response)
    assert gpu(box)["budget"] == "8GiB"
    again = re.search(r'name="was_budget" value="([^"]*)"', response.content.decode().split("RTX 3060", 2)[2])
    assert again is not None
    assert again[1] == "8GiB"


def test_saving_what_is_stored_logs_nothing(owner: Client, box: HardwareProfile) -> None:
    assert "Nothing was changed." in text_of(save(owner, box, budget="90%"))
    assert not LogEntry.objects.exists()


def test_a_device_that_is_not_there_is_not_found(owner: Client, box: HardwareProfile) -> None:
    for device in ("gpu1", "disk"):
        assert save(owner, box, device, budget="1GiB").status_code == 404


def test_a_budget_below_what_is_pinned_is_saved_with_a_warning(
    owner: Client, box: HardwareProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = {
        **resident(1, "smol", pinned=True),
        "devices": [{"device": "gpu0", "name": "RTX 3060", "weights_bytes": 5 * GIB, "kv_bytes": GIB}],
    }
    monkeypatch.setattr(views, "status_for", lambda user: {"residents": [pinned]})
    response = save(owner, box, budget="4GiB")
    assert gpu(box)["budget"] == "4GiB"
    assert "Pinned models hold 6 GiB on RTX 3060, more than the 4 GiB that may be spent now." in text_of(response)


def test_measuring_again_keeps_the_budget_and_is_logged(owner: Client, box: HardwareProfile) -> None:
    HardwareProfile.objects.update(gpus=[], ram_budget="50%", ram_bytes=GIB)
    response = owner.post(reverse("hardware-measure"), follow=True)
    box.refresh_from_db()
    assert box.ram_bytes != GIB
    assert box.ram_budget == "50%"
    assert "Looked again:" in text_of(response)
    assert "Looked at this machine again" in LogEntry.objects.get().change_message


MACHINE = {"name": "lab", "card": "", "n_gpus": "2", "ram": "128GiB", "ram_bandwidth": "80GB/s", "n_cores": "16"}


def test_a_machine_is_added_with_cards_off_the_list_and_deleted(owner: Client, box: HardwareProfile) -> None:
    response = owner.post(reverse("hardware-add"), {**MACHINE, "card": "NVIDIA GeForce RTX 3090"}, follow=True)
    assert "2 × NVIDIA GeForce RTX 3090 (24.0 GiB), 128 GiB RAM, 16 cores" in text_of(response)
    lab = HardwareProfile.objects.get(name="lab")
    lab.full_clean()
    assert lab.profile().gpus[1].bandwidth_bytes_per_second == 936 * 10**9
    assert "Delete lab with its budgets?" in text_of(response)
    assert "lab is gone." in text_of(owner.post(reverse("hardware-delete", args=[lab.pk]), follow=True))
    assert not HardwareProfile.objects.filter(name="lab").exists()
    assert [entry.action_flag for entry in LogEntry.objects.order_by("pk")] == [1, 3]


def test_a_machine_is_described_by_hand(owner: Client, box: HardwareProfile) -> None:
    by_hand = {"card": "by hand", "gpu_name": "Arc", "gpu_memory": "16GiB", "gpu_bandwidth": ""}
    owner.post(reverse("hardware-add"), {**MACHINE, **by_hand})
    row = HardwareProfile.objects.get(name="lab")
    row.full_clean()
    assert [(each.name, each.memory_bytes) for each in row.profile().gpus] == [("Arc", 16 * GIB)] * 2


@pytest.mark.parametrize(
    ("field", "written", "says"),
    [
        ("name", {"name": "this machine"}, "There is a machine of this name."),
        ("name", {"name": "rtx 3090"}, "This is the name of a card"),
        ("ram", {"ram": "much"}, "“much” will not do. Write it as 12GiB."),
        ("ram", {"ram": "60GB/s"}, "Write it as 12GiB."),
        ("ram_bandwidth", {"ram_bandwidth": "fast"}, "Write it as 360GB/s."),
        ("gpu_memory", {"card": "by hand", "gpu_name": "Arc"}, "A card described by hand needs this."),
        ("card", {"card": "RTX 9999"}, "RTX 9999"),
        ("n_gpus", {"n_gpus": "99"}, "less than or equal to 16"),
        ("n_cores", {"n_cores": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_machine_that_makes_no_sense_is_refused_at_the_field(
    owner: Client, box: HardwareProfile, field: str, written: dict[str, str], says: str
) -> None:
    response = owner.post(reverse("hardware-add"), {**MACHINE, **written})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert says in response.context["form"].errors[field][0]
    assert HardwareProfile.objects.count() == 1


def test_this_machine_is_not_deleted(owner: Client, box: HardwareProfile) -> None:
    assert owner.post(reverse("hardware-delete", args=[box.pk])).status_code == 403
    assert owner.post(reverse("hardware-delete", args=[box.pk + 1])).status_code == 404
    assert HardwareProfile.objects.count() == 1


# the first paint of what-if -----------------------------------------------------------------------------------


def test_the_first_paint_shows_the_plan_without_a_script(visitor: Client, box: HardwareProfile, tmp_path: Path) -> None:
    variant = add_model(build(tmp_path / "llama-70b.gguf", SHAPES["llama-70b"], quantization="Q4_K_M")).variant
    response = visitor.get(reverse("hardware"), {"variant": variant.name, "ctx": "2048", "slots": "1"})
    page = response.content.decode()
    ways = response.context["plan"]["ways"]
    assert len(ways) > 1
    for way in ways:
        assert way["title"] in page
    assert "Slow: about" in page
    widths = [float(each) for each in re.findall(r'<rect class="weights" x="[\d.]+" width="([\d.]+)"', page)]
    assert len(widths) == 2
    assert all(0 < width < 1000 for width in widths)
    other = visitor.get(response.wsgi_request.path + ways[1]["href"].partition("#")[0])
    assert other.context["shown"]["title"] == ways[1]["title"]


def test_a_wrong_wish_is_told_at_its_field_and_no_plan_is_shown(
    visitor: Client, box: HardwareProfile, tmp_path: Path
) -> None:
    add_model(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"]))
    response = visitor.get(reverse("hardware"), {"ctx": "7"})
    assert response.status_code == 200
    assert "The context must be a whole number from 64 to 4,194,304." in text_of(response)
    assert response.context["plan"] is None
