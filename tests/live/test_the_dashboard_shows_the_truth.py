"""A real load, watched: the dashboard's bar, /metrics and the worker agree on every byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from tests.stack import Stack

pytestmark = pytest.mark.live

MODEL = "SmolLM2-135M-Instruct-Q4_1"
BUFFERS = ("weights", "kv", "compute")
FRAME_SECONDS = 30.0
MOST_FRAMES = 60


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx.Client]:
    with closing(stack.login(stack.admin)) as client:
        yield client


@pytest.fixture
def frames(stack: Stack, admin: httpx.Client) -> Iterator[Iterator[dict[str, Any]]]:
    """What an open dashboard hears: a frame a second."""
    cookie = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    address = f"{stack.url.replace('http', 'ws')}/ws/host/"

    def heard() -> Iterator[dict[str, Any]]:
        for _ in range(MOST_FRAMES):
            yield json.loads(socket.recv(timeout=FRAME_SECONDS))
            socket.send('{"type":"seen"}')

    with connect(address, origin=stack.url, additional_headers={"Cookie": cookie}, proxy=None) as socket:  # type: ignore[arg-type]
        yield heard()


def first(
    frames: Iterator[dict[str, Any]], what: str, is_it: Callable[[dict[str, Any]], bool]
) -> tuple[dict[str, Any], list[str]]:
    """The first frame of which it is true, and the sentences that were decided until then."""
    sentences: list[str] = []
    for frame in frames:
        sentences += [line["sentence"] for line in frame["decisions"]]
        if is_it(frame):
            return frame, sentences
    raise AssertionError(f"{MOST_FRAMES} frames without {what}")


def in_ram(frame: dict[str, Any]) -> dict[str, int]:
    """The model's part of the bar, in bytes by kind."""
    (ram,) = [each for each in frame["devices"] if each["device"] == "ram"]
    (variant_id,) = [each["variant_id"] for each in frame["variants"] if each["name"] == MODEL] or [None]
    return {
        part["kind"]: part["bytes"]
        for part in ram["segments"]
        if part["variant_id"] is not None and part["variant_id"] == variant_id
    }


def test_a_load_shows_in_the_bar_and_in_metrics_with_the_workers_own_bytes(
    stack: Stack, admin: httpx.Client, frames: Iterator[dict[str, Any]]
) -> None:
    stack.manage("unload", MODEL)
    first(frames, "an empty bar", lambda frame: not in_ram(frame))
    stack.manage("load", MODEL)
    frame, sentences = first(frames, "the weights in the bar", lambda frame: "weights" in in_ram(frame))
    shown = in_ram(frame)
    (resident,) = json.loads(stack.manage("status", "--json"))["host"]["residents"]
    assert {kind: shown[kind] for kind in BUFFERS} == {kind: resident[f"{kind}_bytes"] for kind in BUFFERS}
    assert all(shown[kind] > 0 for kind in BUFFERS)
    assert any(sentence.startswith(f"{MODEL} is loaded with ") for sentence in sentences)

    (ram,) = [each for each in frame["devices"] if each["device"] == "ram"]
    assert sum(part["bytes"] for part in ram["segments"]) == ram["capacity_bytes"]
    assert 0 < ram["foreign_bytes"] <= ram["used_bytes"] - sum(shown[kind] for kind in BUFFERS)

    told = {
        sample.labels["kind"]: sample.value
        for family in text_string_to_metric_families(admin.get("/metrics").text)
        for sample in family.samples
        if sample.name == "hostui_variant_bytes" and sample.labels["variant"] == MODEL
    }
    assert {kind: told[kind] for kind in BUFFERS} == {kind: shown[kind] for kind in BUFFERS}


def test_the_preview_of_a_load_says_what_the_load_then_does(stack: Stack, admin: httpx.Client) -> None:
    stack.manage("load", MODEL)
    (resident,) = json.loads(stack.manage("status", "--json"))["host"]["residents"]
    address, headers = f"/residency/{resident['variant_id']}/", {"Accept": "application/json"}
    assert admin.get(address, headers=headers).json()["load_words"] == ""
    stack.manage("unload", MODEL)
    question = admin.get(address, headers=headers).json()
    assert question["sentence"].startswith(f"{MODEL} fits: it takes ")
    assert (question["load_words"], question["may_anyway"]) == ("Load", False)
