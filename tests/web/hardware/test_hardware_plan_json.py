"""/hardware/plan.json: the plan command's own answer, and sentences for questions that make no sense."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from inference.web.plans import what_if
from models_app.catalog.register import add_model
from models_app.hardware.profile import GIB
from models_app.models import HardwareProfile, Shard, Variant
from tests.gguf_builder import SHAPES, build

pytestmark = pytest.mark.django_db

CARD = {"name": "RTX 3060", "memory_bytes": 12 * GIB, "bandwidth_bytes_per_second": 360 * 10**9}


@pytest.fixture(autouse=True)
def box() -> HardwareProfile:
    return HardwareProfile.objects.create(
        name="this machine", is_this_machine=True, gpus=[CARD], ram_bytes=64 * GIB, n_cores=8
    )


@pytest.fixture
def variant(tmp_path: Path) -> str:
    path = build(tmp_path / "llama-8b.gguf", SHAPES["llama-8b"], quantization="Q4_K_M")
    return str(add_model(path).variant.name)


@pytest.fixture
def asked(client: Client) -> Any:
    client.force_login(User.objects.create_user("visitor"))

    def ask(**query: Any) -> tuple[int, dict[str, Any]]:
        response = client.get(reverse("hardware-plan"), query)
        return response.status_code, response.json()

    return ask


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ({}, []),
        ({"ctx": "8192", "slots": "2"}, ["--ctx", "8192", "--slots", "2"]),
        ({"profile": "lab"}, ["--profile", "lab"]),
        ({"profile": "rtx 3050 ti laptop gpu", "slots": "1"}, ["--profile", "rtx 3050 ti laptop gpu", "--slots", "1"]),
    ],
)
def test_it_answers_as_the_plan_command_does(
    asked: Any, variant: str, query: dict[str, str], arguments: list[str]
) -> None:
    HardwareProfile.objects.create(name="lab", gpus=[CARD, CARD], ram_bytes=32 * GIB, n_cores=4)
    out = StringIO()
    call_command("plan", variant, *arguments, "--json", stdout=out)
    command = json.loads(out.getvalue())
    status, answer = asked(variant=variant, **query)
    assert status == 200
    assert {key: answer[key] for key in command} == command
    assert len(answer["ways"]) == len(command["alternatives"]) > 0


def test_every_wish_of_the_variant_counts_as_in_the_plan_command(asked: Any, variant: str) -> None:
    Variant.objects.update(n_ctx_seq=65536, least_n_ctx_seq=2048, may_quantize_kv=False, may_leave_gpu=False)
    out = StringIO()
    call_command("plan", variant, "--json", stdout=out)
    _, answer = asked(variant=variant)
    assert answer["alternatives"] == json.loads(out.getvalue())["alternatives"]
    assert {(each["n_ctx_seq"], each["type_k"]) for each in answer["alternatives"]} == {(2048, "f16")}


def test_every_byte_of_a_device_has_its_place_in_the_bar(asked: Any, variant: str) -> None:
    _, answer = asked(variant=variant, ctx=16384, slots=4)
    for way in answer["ways"]:
        for bar in way["bars"]:
            assert sum(segment["width"] for segment in bar["segments"]) == pytest.approx(1000, abs=0.1)
            ends = [segment["x"] + segment["width"] for segment in bar["segments"]]
            starts = [segment["x"] for segment in bar["segments"][1:]]
            assert starts == pytest.approx(ends[:-1], abs=0.05)
            assert bar["budget_x"] == pytest.approx(ends[4], abs=0.05)


def test_the_cache_is_of_the_type_that_was_asked_for(asked: Any, variant: str) -> None:
    types = {
        kv: {each["type_k"] for each in asked(variant=variant, kv=kv, ctx=32768)[1]["alternatives"]}
        for kv in what_if.KV_CHOICES
    }
    assert types == {"auto": {"f16", "q8_0"}, "f16": {"f16"}, "q8_0": {"q8_0"}}


def test_a_model_without_a_cache_says_that_its_type_gains_nothing(asked: Any, tmp_path: Path) -> None:
    mamba = add_model(build(tmp_path / "mamba.gguf", SHAPES["tiny-mamba"])).variant
    _, answer = asked(variant=mamba.name, kv="q8_0")
    assert answer["alternatives"]
    assert answer["note"] == "A q8_0 cache gains nothing here, so f16 is shown."


def test_the_boxs_own_budget_goes_before_the_profiles(asked: Any, variant: str, settings: Any) -> None:
    settings.BUDGET_BYTES = 7 * GIB
    _, answer = asked(variant=variant)
    assert answer["alternatives"][0]["devices"][0]["budget_bytes"] == 7 * GIB
    HardwareProfile.objects.create(name="lab", ram_bytes=32 * GIB, n_cores=4)
    _, elsewhere = asked(variant=variant, profile="lab")
    assert elsewhere["alternatives"][0]["devices"][0]["budget_bytes"] > 7 * GIB


def test_a_machine_that_is_too_small_gets_the_reason(asked: Any, variant: str) -> None:
    HardwareProfile.objects.create(name="pi", ram_bytes=2 * GIB, n_cores=4)
    _, answer = asked(variant=variant, profile="pi")
    assert (answer["alternatives"], answer["ways"]) == ([], [])
    assert "needs at least" in answer["reason"]


def test_an_unknown_architecture_says_what_is_missing(asked: Any, tmp_path: Path) -> None:
    renamed = {"general.architecture": "from-next-year", "from-next-year.block_count": 4}
    unknown = add_model(build(tmp_path / "x.gguf", SHAPES["tiny-gqa"], metadata=renamed)).variant
    status, answer = asked(variant=unknown.name)
    assert status == 200
    assert answer["reason"] == (
        "The file does not tell how from-next-year keeps its context; a dry run on the machine itself tells."
    )


@pytest.mark.parametrize(
    ("query", "problems"),
    [
        ({"variant": ""}, {"variant": "Pick a model."}),
        ({"variant": "nothing"}, {"variant": "There is no model named “nothing”."}),
        ({"profile": "RTX 9999"}, {"profile": "There is no machine and no known card named “RTX 9999”."}),
        (
            {"ctx": "63", "slots": "65"},
            {
                "ctx": "The context must be a whole number from 64 to 4,194,304.",
                "slots": "The number of slots must be a whole number from 1 to 64.",
            },
        ),
        ({"ctx": "4e3"}, {"ctx": "The context must be a whole number from 64 to 4,194,304."}),
        ({"ctx": "٤٠٩٦"}, {"ctx": "The context must be a whole number from 64 to 4,194,304."}),
        ({"kv": "q1"}, {"kv": "The cache type must be one of auto, f16, q8_0."}),
    ],
)
def test_a_wrong_question_gets_a_sentence_for_each_parameter(
    asked: Any, variant: str, query: dict[str, str], problems: dict[str, str]
) -> None:
    assert asked(**{"variant": variant, **query}) == (400, {"problems": problems})


def test_a_file_that_went_away_or_broke_is_told(asked: Any, variant: str) -> None:
    path = Path(Shard.objects.get().path)
    assert asked(variant=variant)[0] == 200
    path.write_bytes(b"GGUF")
    status, answer = asked(variant=variant)
    assert status == 400
    assert "llama-8b.gguf cannot be planned" in answer["problems"]["variant"]
    path.unlink()
    assert "is missing" in asked(variant=variant)[1]["problems"]["variant"]
    Shard.objects.all().delete()
    assert "has no files" in asked(variant=variant)[1]["problems"]["variant"]


def test_a_header_is_read_once_while_its_file_stays_the_same(asked: Any, variant: str) -> None:
    what_if._read.cache_clear()
    for ctx in (1024, 2048, 4096):
        asked(variant=variant, ctx=ctx)
    assert what_if._read.cache_info().misses == 1
    path = Path(Shard.objects.get().path)
    build(path, SHAPES["tiny-gqa"])
    assert asked(variant=variant)[1]["alternatives"][0]["n_layers"] == 4
