"""Plans of files that are still on the Hub, and better sources to requantize from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from models_app.hardware.profile import GIB
from models_app.models import HardwareProfile
from tests.gguf_builder import SHAPES, build
from tests.hub import HubServer, NoRanges, ServerError
from tests.web.fake_host import FakeHost, resident
from tests.web.hub.asking import NAME, URL, by_key, lines_of


async def test_every_variant_is_planned_and_one_recommended(
    owner: User, repository: HubServer, box: HardwareProfile
) -> None:
    lines = await lines_of(owner)
    plans = by_key(lines)

    assert set(plans) == {"Tiny-Q4_0.gguf", "Tiny-Q8_0.gguf", "Tiny-F16.gguf"}
    for plan in plans.values():
        assert (plan["fit"], plan["fit_words"]) == ("whole", "Fits")
        assert re.match(r"All 5 layers on the GPU · .+ RTX 3060", plan["how"])
        assert re.fullmatch(r"about [\d,]+ tokens/s", plan["decode"])
        assert "llama · trained with 8,192 tokens of context" in plan["model"]
    assert lines[-1]["type"] == "recommended"
    assert lines[-1]["key"] == "Tiny-Q8_0.gguf"
    assert lines[-1]["reason"].startswith("The best quality that fits this box and answers fast:")


async def test_a_plan_takes_one_range_request_a_file_and_none_the_second_time(
    owner: User, repository: HubServer, box: HardwareProfile
) -> None:
    await lines_of(owner)
    assert sorted(seen.path for seen in repository.seen("cdn")) == [
        "Tiny-F16-00001-of-00002.gguf",
        "Tiny-F16-00002-of-00002.gguf",
        "Tiny-Q4_0.gguf",
        "Tiny-Q8_0.gguf",
    ]
    assert all(seen.range is not None for seen in repository.seen("cdn"))

    repository.forget()
    plans = by_key(await lines_of(owner, ctx=512, slots=1, revision=repository.repositories[NAME].head))
    assert len(plans) == 3
    assert repository.seen() == []


async def test_a_large_model_is_planned_in_part_and_who_would_leave_is_said(
    owner: User, hub: HubServer, tmp_path: Path, settings: Any, box: HardwareProfile, host: FakeHost
) -> None:
    large = build(tmp_path / "Large-Q4_0.gguf", SHAPES["llama-70b"])
    middle = build(tmp_path / "Middle-Q4_0.gguf", SHAPES["llama-8b"])
    files = {path.name: path for path in (large, middle)}
    hub.add(NAME, files, sha256=dict.fromkeys(files, "0" * 64))
    settings.HUB_ENDPOINT = hub.endpoint
    host.devices = [
        {
            "device": "gpu0",
            "name": "RTX 3060",
            "capacity_bytes": 12 * GIB,
            "budget_bytes": 11 * GIB,
            "reserve_bytes": GIB // 2,
            "reserved_bytes": 9 * GIB,
            "foreign_bytes": 0,
        }
    ]
    await host.tell([{**resident(1, "Resident-7B"), "bytes_by_device": {"gpu0": 9 * GIB}, "pinned": False}])

    plans = by_key(await lines_of(owner))

    assert plans["Large-Q4_0.gguf"]["fit"] == "part"
    assert re.match(r"\d+ of 81 layers on the GPU", plans["Large-Q4_0.gguf"]["how"])
    assert plans["Middle-Q4_0.gguf"]["fit"] == "whole"
    assert "Now Resident-7B would have to leave for it." in plans["Middle-Q4_0.gguf"]["notes"]


async def test_a_broken_header_costs_its_own_plan_alone(
    owner: User, repository: HubServer, box: HardwareProfile, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"<!doctype html><title>Sign in</title>" * 10)
    good = tmp_path / "remote" / "Tiny-Q4_0.gguf"
    repository.repositories[NAME].commit({"Tiny-Q4_0.gguf": good, "Tiny-Q5_0.gguf": broken})

    plans = by_key(await lines_of(owner))

    assert plans["Tiny-Q4_0.gguf"]["fit"] == "whole"
    assert plans["Tiny-Q5_0.gguf"]["fit"] == "unknown"
    assert "this is not a GGUF file" in plans["Tiny-Q5_0.gguf"]["how"]


async def test_one_failing_file_does_not_stop_the_others(
    owner: User, repository: HubServer, box: HardwareProfile
) -> None:
    repository.faults.add(ServerError(where="resolve", path="Tiny-Q4_0.gguf"), NoRanges())
    lines = await lines_of(owner)

    assert by_key(lines)["Tiny-Q4_0.gguf"]["how"].startswith("The Hub has a problem of its own (status 503)")
    assert lines[-1]["key"] == "Tiny-Q8_0.gguf"


async def test_nonsense_in_the_form_is_said(owner: User, repository: HubServer, box: HardwareProfile) -> None:
    (told,) = await lines_of(owner, ctx="many", slots=0)
    assert set(told["problems"]) == {"ctx", "slots"}


@pytest.mark.parametrize(
    ("than", "better"),
    [
        ("Q4_0", ["F16", "Q8_0"]),
        ("Q8_0", ["F16"]),
        ("F16", []),
        ("IQ2_XS", ["F16", "Q8_0"]),
        ("nonsense", []),
        ("", []),
    ],
)
def test_better_sources_to_requantize_from(member: Client, repository: HubServer, than: str, better: list[str]) -> None:
    told = member.get(f"{URL}sources.json", {"than": than}).json()
    assert [each["quantization"] for each in told["sources"]] == better


def test_no_answer_about_sources_is_told(member: Client, repository: HubServer) -> None:
    repository.faults.add(ServerError(where="repository"))
    response = member.get(f"{URL}sources.json", {"than": "Q4_0"})
    assert response.status_code == 502
    assert "problem of its own" in response.json()["detail"]
