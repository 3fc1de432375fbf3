"""`manage.py runhost` with a GPU-type device: budgets of the hardware profile, as the owner edits them, and what loads really take."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.core.scheduling.refusals import NoStorage
from inference.host.api.client import HostClient, HostRefusal
from inference.host.api.messages import ResidentVariant
from tests.host.cast import DEADLINE_SECONDS
from tests.host.installation import Installation, installed
from tests.models_app.conftest import serving_device

pytestmark = pytest.mark.live
MB = 1_000_000
LINE_BYTES = 10_000
"""llama.cpp's log tells buffers in hundredths of a MiB."""
SET_BUDGET = """
from django.contrib.auth import get_user_model
from models_app.hardware.budgets import Amounts, read_amounts
from models_app.machines.edits import change_amounts, stored_amounts
from models_app.models import HardwareProfile
owner, _ = get_user_model().objects.get_or_create(username="owner")
row = HardwareProfile.objects.get(is_this_machine=True)
print(change_amounts(row.pk, "gpu0", stored_amounts(row).of("gpu0"), Amounts("{budget}", "0"), owner.pk))
"""
MEASURED = """
import json
from models_app.models import Measurement
print(json.dumps(list(Measurement.objects.order_by("device").values("device", "estimated_bytes", "measured_bytes"))))
"""


@pytest.fixture
def installation(prepared_folder: Path) -> Iterator[Installation]:
    with installed(prepared_folder) as installation:
        yield installation


@pytest.fixture
def gpu() -> Iterator[str]:
    with serving_device() as endpoint:
        yield endpoint


def told(installation: Installation, program: str) -> str:
    done = installation.manage("shell", "--verbosity", "0", "-c", program)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def load(installation: Installation) -> ResidentVariant:
    asyncio.run(asyncio.wait_for(HostClient(installation.socket).load(1), DEADLINE_SECONDS))
    return resident(installation)


def resident(installation: Installation) -> ResidentVariant:
    (found,) = asyncio.run(HostClient(installation.socket).status())["residents"]
    return found


def held(variant: Any) -> dict[str, int]:
    parts = ("weights_bytes", "kv_bytes", "compute_bytes")
    return {each["device"]: sum(each[part] for part in parts) for each in variant["devices"]}


async def until(socket: str, condition: Callable[[list[ResidentVariant]], bool]) -> None:
    async for status in HostClient(socket).watch():
        if condition(status["residents"]):
            return
    raise AssertionError("the host ended")


def test_a_load_keeps_to_the_gpus_budget_and_an_edit_takes_effect_at_once(installation: Installation, gpu: str) -> None:
    with installation.host(HOSTUI_RPC_SERVERS=gpu):
        told(installation, SET_BUDGET.format(budget="400 MB"))
        wholly = load(installation)
        assert 90 * MB < held(wholly)["gpu0"] <= 400 * MB

        assert "60 MB" in told(installation, SET_BUDGET.format(budget="60 MB"))
        asyncio.run(asyncio.wait_for(until(installation.socket, lambda residents: not residents), DEADLINE_SECONDS))

        partly = load(installation)
        assert 0 < held(partly)["gpu0"] <= 60 * MB
        assert held(partly)["ram"] > held(wholly)["ram"]


def test_what_a_load_took_is_kept_beside_what_was_estimated(installation: Installation, gpu: str) -> None:
    with installation.host(HOSTUI_RPC_SERVERS=gpu):
        told(installation, SET_BUDGET.format(budget="400 MB"))
        devices = held(load(installation))
        asyncio.run(asyncio.wait_for(HostClient(installation.socket).unload(1), DEADLINE_SECONDS))
        rows = {row["device"]: row for row in json.loads(told(installation, MEASURED))}
    assert {device: sum(row["measured_bytes"].values()) for device, row in rows.items()} == devices
    for device, row in rows.items():
        estimated = sum(row["estimated_bytes"].values())
        assert devices[device] <= estimated + LINE_BYTES
        assert estimated <= max(1.03 * devices[device], devices[device] + 64 * 1024 * 1024)


def test_a_gpu_that_does_not_answer_leaves_the_ram(installation: Installation) -> None:
    with installation.host(HOSTUI_RPC_SERVERS="127.0.0.1:1"):
        assert list(held(load(installation))) == ["ram"]


def test_a_profile_that_makes_no_sense_stops_the_host_with_a_sentence(installation: Installation) -> None:
    with installation.host():
        pass
    told(
        installation, "from models_app.models import HardwareProfile; HardwareProfile.objects.update(ram_budget='lots')"
    )
    done = installation.manage("runhost")
    assert done.returncode == 1
    assert "Mend it on the Hardware page" in done.stderr


def test_a_running_host_keeps_its_budgets_where_the_new_ones_make_no_sense(installation: Installation) -> None:
    with installation.host():
        told(
            installation,
            "from models_app.models import HardwareProfile; HardwareProfile.objects.update(ram_budget='lots')",
        )
        with pytest.raises(HostRefusal) as refused:
            asyncio.run(HostClient(installation.socket).profile_changed())
        assert isinstance(refused.value.facts, NoStorage)
        assert refused.value.facts.of == "profile"
        assert asyncio.run(HostClient(installation.socket).status())["budget_bytes"] > 0


def test_an_rpc_server_lends_itself_to_one_model_at_a_time(
    installation: Installation, gpu: str, starter_path: Path
) -> None:
    copy = installation.folder / "copy.gguf"
    shutil.copyfile(starter_path, copy)
    assert installation.manage("add_model", str(copy)).returncode == 0
    with installation.host(HOSTUI_RPC_SERVERS=gpu):
        client = HostClient(installation.socket)

        async def both() -> list[dict[str, int]]:
            await client.load(1)
            await client.load(3)
            return [held(each) for each in (await client.status())["residents"]]

        devices = asyncio.run(asyncio.wait_for(both(), DEADLINE_SECONDS))
        assert sum(each.get("gpu0", 0) > 0 for each in devices) == 1
