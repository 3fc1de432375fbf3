"""Odd numbers in headers, on every page and command that plans: each says what it can, of all that it was asked, and ends."""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from inference.core.loads.engine_devices import EngineDevices
from inference.host.planning.variant_source import UnusableFile
from inference.host.planning.ways import Planning
from inference.web.hub import remote_plan
from inference.web.plans import badges, what_if
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB
from models_app.models import HardwareProfile, Shard, Variant
from tests.gguf_builder import SHAPES, build
from tests.hub import HubServer
from tests.odd_headers import ODD, little_memory, numeric_keys, shapes
from tests.properties import examples
from tests.web.hub.asking import NAME, by_key, lines_of

pytestmark = pytest.mark.django_db(transaction=True)
CARD = {"name": "RTX 3060", "memory_bytes": 12 * GIB, "bandwidth_bytes_per_second": 360 * 10**9}
MOST_SECONDS = 2.0
"""Of this process's own time."""
N_EXAMPLES = 80
N_ON_A_PAGE = 24


@pytest.fixture(autouse=True)
def box(settings: Any, tmp_path: Path) -> HardwareProfile:
    settings.MODELS_DIR = tmp_path / "models"
    settings.HOST_SOCKET = str(tmp_path / "no-host.sock")
    return HardwareProfile.objects.create(
        name="this machine",
        is_this_machine=True,
        gpus=[CARD],
        ram_bytes=64 * GIB,
        ram_bandwidth_bytes_per_second=60 * 10**9,
        n_cores=8,
    )


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner", is_staff=True)


@pytest.fixture
def staff(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def added(path: Path) -> Variant:
    return add_model(build(path, SHAPES["tiny-gqa"])).variant


def becomes(variant: Variant, shape: str, **metadata: Any) -> None:
    """Writes another header where the variant's file lies."""
    shard = Shard.objects.get(variant=variant)
    path = build(
        Path(shard.path), SHAPES[shape], metadata={f"{SHAPES[shape].architecture}.{k}": v for k, v in metadata.items()}
    )
    noticed(variant, path)


def noticed(variant: Variant, path: Path) -> None:
    now = os.stat(path)
    Shard.objects.filter(variant=variant).update(size_bytes=now.st_size, mtime_ns=now.st_mtime_ns)


def odd_file(path: Path, dice: random.Random) -> Path:
    """One odd number, or two."""
    shape = dice.choice(shapes())
    chosen = {dice.choice(numeric_keys(shape)): ODD[dice.choice(list(ODD))] for _ in range(dice.choice((1, 1, 2)))}
    return build(path, shape, metadata=chosen)


def test_a_badge_says_what_is_wrong_and_the_others_are_there(staff: Client, tmp_path: Path) -> None:
    good, zero, huge = (added(tmp_path / f"{name}.gguf") for name in ("good", "zero", "huge"))
    becomes(zero, "tiny-gqa", block_count=0)
    becomes(huge, "tiny-gqa", block_count=1 << 31)
    with little_memory():
        found = staff.get(reverse("models-plans"), {"ids": f"{zero.pk},{huge.pk},{good.pk}"}).json()
    assert found[str(good.pk)]["fit"] == "whole"
    assert found[str(zero.pk)]["fit"] == "unknown"
    assert "zero.gguf cannot be planned: llama.block_count is 0" in found[str(zero.pk)]["detail"]
    assert "huge.gguf cannot be planned: llama.block_count is 2147483648" in found[str(huge.pk)]["detail"]
    page = staff.get(reverse("model", args=[zero.name]))
    assert page.status_code == 200
    assert "llama.block_count is 0" in page.content.decode()


def test_a_plan_that_fails_costs_its_own_badge_alone(
    staff: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = added(tmp_path / "good.gguf"), added(tmp_path / "bad.gguf")
    fails_for("bad", bad, badges, monkeypatch)
    found = staff.get(reverse("models-plans"), {"ids": f"{bad.pk},{good.pk}"}).json()
    assert found[str(good.pk)]["fit"] == "whole"
    assert found[str(bad.pk)]["detail"] == str(what_if.UNFORESEEN)


def test_a_what_if_that_fails_says_so(staff: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = added(tmp_path / "bad.gguf")
    fails_for("bad", bad, what_if, monkeypatch)
    answer = staff.get(reverse("hardware-plan"), {"variant": bad.name}).json()
    assert (answer["alternatives"], answer["ways"], answer["reason"]) == ([], [], str(what_if.UNFORESEEN))
    assert str(what_if.UNFORESEEN) in staff.get(reverse("model", args=[bad.name])).content.decode()


def test_a_remote_plan_that_fails_costs_its_own_row_alone(
    owner: User, hub: HubServer, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "remote").mkdir()
    files = {name: build(tmp_path / "remote" / name, SHAPES[shape], quantization="Q4_0") for name, shape in
             (("A-Q4_0.gguf", "tiny-gqa"), ("B-Q8_0.gguf", "tiny-moe"))}  # fmt: skip
    settings.HUB_ENDPOINT = hub.endpoint
    hub.add(NAME, files)
    fails_for("tiny-moe", None, remote_plan, monkeypatch)
    lines = async_to_sync(lines_of)(owner)
    rows = by_key(lines)
    assert rows["A-Q4_0.gguf"]["fit"] == "whole"
    assert (rows["B-Q8_0.gguf"]["fit"], rows["B-Q8_0.gguf"]["how"]) == ("unknown", str(what_if.UNFORESEEN))
    assert lines[-1]["type"] == "recommended"


def fails_for(name: str, variant: Variant | None, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning the file of that general.name fails in `module`."""
    if variant is not None:
        path = Path(Shard.objects.get(variant=variant).path)
        build(path, SHAPES["tiny-gqa"], metadata={"general.name": name})
        noticed(variant, path)
    place = module.place

    def failing(header: Any, *rest: Any) -> Any:
        if header.name == name:
            raise ZeroDivisionError("of a header")
        return place(header, *rest)

    monkeypatch.setattr(module, "place", failing)


def test_the_plan_command_says_a_sentence(tmp_path: Path) -> None:
    path = build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata={"llama.block_count": 0})
    with pytest.raises(CommandError, match=r"x\.gguf cannot be planned: llama\.block_count is 0, and only 1 to 512"):
        call_command("plan", str(path))


def test_odd_numbers_cost_neither_an_answer_nor_memory_nor_time(staff: Client, tmp_path: Path) -> None:
    variant, dice, planning = (
        added(tmp_path / "odd.gguf"),
        random.Random(4),
        Planning(EngineDevices((), (("gpu0", "CUDA0"),))),
    )
    path = Path(Shard.objects.get(variant=variant).path)
    this_machine = HardwareProfile.objects.get()
    with little_memory():
        for number in range(examples(N_EXAMPLES).max_examples):
            noticed(variant, odd_file(path, dice))
            variant.refresh_from_db()
            began = time.process_time()
            shards = list(variant.shards.order_by("number"))
            with suppress(UnusableFile):
                planning.plan(variant, shards, str(number), shards[0].size_bytes)
            planned(path)
            badge = staff.get(reverse("models-plans"), {"ids": str(variant.pk)})
            assert list(badge.json()) == [str(variant.pk)]
            assert staff.get(reverse("model", args=[variant.name])).status_code == 200
            query = {"variant": variant.name, "profile": this_machine.name}
            assert staff.get(reverse("hardware-plan"), query).status_code in (200, 400)
            assert time.process_time() - began < 5 * MOST_SECONDS


def planned(path: Path) -> None:
    out = StringIO()
    with suppress(CommandError):
        call_command("plan", str(path), "--json", stdout=out)
        json.loads(out.getvalue())


def test_a_repository_of_odd_headers_is_shown_whole(owner: User, hub: HubServer, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    dice = random.Random(5)
    paths = [odd_file(tmp_path / "remote" / f"Odd{number}-Q4_0.gguf", dice) for number in range(N_ON_A_PAGE)]
    good = build(tmp_path / "remote" / "Good-Q4_0.gguf", SHAPES["tiny-gqa"])
    settings.HUB_ENDPOINT = hub.endpoint
    files = {path.name: path for path in (*paths, good)}
    hub.add(NAME, files, sha256=dict.fromkeys(files, "0" * 64))
    began = time.process_time()
    with little_memory():
        lines = async_to_sync(lines_of)(owner)
    assert set(by_key(lines)) == {path.name for path in (*paths, good)}
    assert by_key(lines)["Good-Q4_0.gguf"]["fit"] == "whole"
    assert lines[-1]["type"] == "recommended"
    assert all(row["how"] for row in by_key(lines).values())
    assert time.process_time() - began < N_ON_A_PAGE * MOST_SECONDS
