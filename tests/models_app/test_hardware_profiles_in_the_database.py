from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from models_app import audit
from models_app.hardware import Device, Profile
from models_app.hardware.profile import GIB
from models_app.machines import this_machine_row
from models_app.machines.this_machine_row import this_machine, this_machine_now
from models_app.models import HardwareProfile

pytestmark = pytest.mark.django_db

CARD: dict[str, Any] = {"name": "Card", "memory_bytes": 12 * GIB, "budget": "11GiB"}


def test_this_machine_is_detected_once_and_what_its_owner_set_stays() -> None:
    row = this_machine()
    assert row.is_this_machine
    assert row.ram_bytes > 1 << 28
    assert row.ram_bandwidth_bytes_per_second is not None
    assert 10**8 < row.ram_bandwidth_bytes_per_second < 10**13
    HardwareProfile.objects.update(name="box", ram_budget="50%", ram_bytes=GIB)
    assert this_machine().ram_bytes == GIB
    again = this_machine(again=True)
    assert (again.pk, again.name, again.ram_budget) == (row.pk, "box", "50%")
    assert again.ram_bytes == row.ram_bytes
    assert HardwareProfile.objects.count() == 1


def test_a_card_keeps_its_budget_when_another_is_plugged_in_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ram = Device("RAM", "ram", 64 * GIB)
    old, new = Device("Old", "gpu", 12 * GIB), Device("New", "gpu", 24 * GIB)
    monkeypatch.setattr(this_machine_row, "detect", lambda: Profile("this machine", ram, (old, old), 4))
    row = this_machine()
    row.gpus[1]["budget"] = "11GiB"
    row.save()
    monkeypatch.setattr(this_machine_row, "detect", lambda: Profile("this machine", ram, (new, old, old), 4))
    again = this_machine(again=True)
    assert [gpu.get("budget") for gpu in again.gpus] == [None, None, "11GiB"]


def test_a_card_that_was_changed_is_noticed_without_measuring_the_ram_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ram = Device("RAM", "ram", 64 * GIB, 1000)
    cards = [Device("Old", "gpu", 12 * GIB)]

    def detect(*, ram_bandwidth_bytes_per_second: int | None = None) -> Profile:
        speed = ram_bandwidth_bytes_per_second or 1000
        return Profile("this machine", replace(ram, bandwidth_bytes_per_second=speed), tuple(cards), 4)

    monkeypatch.setattr(this_machine_row, "detect", detect)
    row = this_machine()
    row.gpus[0]["budget"] = "11GiB"
    row.ram_bandwidth_bytes_per_second = 2000
    row.save()
    before = row.updated_at
    assert this_machine_now().updated_at == before
    cards.insert(0, Device("New", "gpu", 24 * GIB))
    now = this_machine_now()
    assert [(gpu["name"], gpu.get("budget")) for gpu in now.gpus] == [("New", None), ("Old", "11GiB")]
    assert now.ram_bandwidth_bytes_per_second == 2000
    (noted,) = audit.history(row)
    assert noted.who == audit.THE_BOX
    assert noted.message == "This machine is another one now: New, Old, 64.0 GiB of RAM, 4 cores."
    cards.clear()
    ram = replace(ram, memory_bytes=32 * GIB)
    silent = this_machine_now()
    assert silent.ram_bytes == 32 * GIB
    assert len(silent.gpus) == 2, "a driver that says nothing takes no budget away"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("ram_budget", {"ram_budget": "65GiB"}),
        ("ram_reserve", {"ram_reserve": "65GiB"}),
        ("gpus", {"gpus": [{**CARD, "budget": "12.1GiB"}]}),
        ("gpus", {"gpus": [{**CARD, "reserve": "13GiB"}]}),
    ],
)
def test_amounts_larger_than_the_device_are_refused_at_their_field(field: str, values: dict[str, Any]) -> None:
    row = HardwareProfile(**{"name": "x", "ram_bytes": 64 * GIB, "n_cores": 6, **values})
    with pytest.raises(ValidationError) as refused:
        row.full_clean()
    assert list(refused.value.message_dict) == [field]
    assert "more than the" in str(refused.value)


def test_a_row_becomes_a_profile_with_its_budgets() -> None:
    row = HardwareProfile(name="x", gpus=[CARD], ram_bytes=64 * GIB, ram_budget="75%", ram_reserve="1GiB", n_cores=6)
    row.full_clean()
    profile = row.profile()
    assert profile.gpus[0].budget_bytes == 11 * GIB
    assert (profile.ram.budget_bytes, profile.ram.reserve_bytes) == (48 * GIB, GIB)


@pytest.mark.parametrize(
    "gpus",
    [
        {"name": "Card"},
        "text",
        [1],
        [{"name": "no memory"}],
        [{**CARD, "memory_bytes": -1}],
        [{**CARD, "memory_bytes": True}],
        [{**CARD, "memory_bytes": 1 << 60}],
        [{**CARD, "budget": "lots"}],
        [{**CARD, "budget": 5}],
        [{**CARD, "colour": "green"}],
        [CARD] * 65,
    ],
)
def test_devices_that_make_no_sense_are_refused(gpus: Any) -> None:
    with pytest.raises(ValidationError):
        HardwareProfile(name="x", gpus=gpus, ram_bytes=GIB).full_clean()


def test_the_admin_adds_a_machine_and_refuses_a_wrong_one(admin_client: Client) -> None:
    url = reverse("admin:models_app_hardwareprofile_add")
    fields = {"name": "lab", "gpus": '[{"name": "Card"}]', "ram_bytes": str(GIB), "ram_budget": "", "n_cores": "4"}
    assert "memory_bytes" in admin_client.post(url, fields).content.decode()
    assert not HardwareProfile.objects.exists()
    fields["gpus"] = f'[{{"name": "Card", "memory_bytes": {GIB}}}]'
    assert admin_client.post(url, fields).status_code == 302
    assert "Card" in admin_client.get(reverse("admin:models_app_hardwareprofile_changelist")).content.decode()


def test_the_admin_lists_what_a_machine_has_and_may_spend(admin_client: Client) -> None:
    HardwareProfile.objects.create(name="lab", gpus=[CARD, CARD], ram_bytes=64 * GIB, ram_budget="50%", n_cores=4)
    page = admin_client.get(reverse("admin:models_app_hardwareprofile_changelist")).content.decode()
    for told in ("Card, Card", "24.0 GiB", "64.0 GiB", "RAM 32.0 GiB, Card 11.0 GiB, Card 11.0 GiB"):
        assert told in page


def test_the_admin_refuses_amounts_at_their_field(admin_client: Client) -> None:
    url = reverse("admin:models_app_hardwareprofile_add")
    assert admin_client.get(url).status_code == 200
    fields = {"name": "lab", "gpus": "[]", "ram_bytes": str(GIB), "n_cores": "4"}
    for field, text in (("ram_budget", "lots"), ("ram_budget", "2GiB"), ("ram_reserve", "101%")):
        response = admin_client.post(url, {**fields, "ram_budget": "", "ram_reserve": "", field: text})
        assert list(response.context["adminform"].form.errors) == [field]
    gpus = f'[{{"name": "Card", "memory_bytes": {GIB}, "budget": "2GiB"}}]'
    response = admin_client.post(url, {**fields, "gpus": gpus})
    assert response.context["adminform"].form.errors["gpus"] == ["The budget of Card is more than the card has, 1 GiB."]


def test_the_admin_deletes_other_machines_but_not_this_one(admin_client: Client) -> None:
    here = HardwareProfile.objects.create(name="here", is_this_machine=True, ram_bytes=GIB)
    lab = HardwareProfile.objects.create(name="lab", ram_bytes=GIB)
    for row, status in ((here, 403), (lab, 302)):
        url = reverse("admin:models_app_hardwareprofile_delete", args=[row.pk])
        assert admin_client.post(url, {"post": "yes"}).status_code == status
    url = reverse("admin:models_app_hardwareprofile_changelist")
    admin_client.post(url, {"action": "delete_selected", "_selected_action": [here.pk], "post": "yes"})
    assert list(HardwareProfile.objects.all()) == [here]
    assert admin_client.get(reverse("admin:models_app_hardwareprofile_change", args=[here.pk])).status_code == 200
