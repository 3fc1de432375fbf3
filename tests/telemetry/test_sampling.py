"""The sampler against a fake host and machine: what followers, the ledger and the counters hear."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from inference.core.loads.devices import RAM
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.scheduling.decisions import Decision, LoadingPaused, WentIdle
from inference.core.scheduling.memory.ledger import Pool
from inference.core.scheduling.reasons import ForLoading
from inference.host.api.messages import LoggedDecision, Mention
from inference.host.telemetry import sampler
from inference.host.telemetry.sample import SETTLED_SAMPLES, RamReading, Reading
from inference.host.telemetry.sampler import Telemetry
from models_app.hardware.nvidia import GpuReading
from tests.web.fake_host import resident

GB = 10**9
_LEFT = WentIdle(ResidentId(1), 60.0)


def logged(number: int, decision: Decision = _LEFT, name: str = "one") -> LoggedDecision:
    named = decision.resident_id
    mentions: list[Mention] = (
        [] if named is None else [{"variant_id": named.variant_id, "purpose": named.purpose, "name": name}]
    )
    return {"number": number, "at": 1000.0625, "decision": decision, "mentions": mentions}


class FakeWatched:
    def __init__(self) -> None:
        self.residents: list[dict[str, Any]] = []
        self.log: list[Any] = []

    def status(self) -> Any:
        return {
            "type": "status",
            "pid": 1,
            "uptime_seconds": 1.0,
            "budget_bytes": GB,
            "reserved_bytes": 0,
            "residents": self.residents,
            "queue": [
                {
                    "request_id": "secret",
                    "user": "7",
                    "variant_id": 1,
                    "purpose": "chat",
                    "variant": "m",
                    "kind": "interactive",
                    "position": 1,
                    "wait": ForLoading(0.5),
                    "waiting_seconds": 1.0,
                }
            ],
        }

    def pools(self) -> Sequence[Pool]:
        return (Pool(RAM, "RAM", 16 * GB, 12 * GB),)

    def decisions(self) -> Sequence[Any]:
        return self.log

    def bus_ids(self) -> Mapping[str, str]:
        return {}

    def ways(self, resident_id: ResidentId) -> Sequence[LoadWay]:
        return ()


class FakeMachine:
    """`gate` shut: a driver that hangs."""

    def __init__(self) -> None:
        self.available_bytes = 10 * GB
        self.gate = threading.Event()
        self.gate.set()
        self.pids: list[int] = []

    def read(self, pids: Iterable[int], bus_ids: Mapping[str, str]) -> Reading:
        self.pids = list(pids)
        self.gate.wait(30)
        return Reading(RamReading(available_bytes=self.available_bytes))

    def close(self) -> None: ...


async def test_a_follower_hears_a_backlog_and_then_each_sample_with_what_is_new() -> None:
    host, machine = FakeWatched(), FakeMachine()
    telemetry = Telemetry(host, machine, wall_clock=lambda: 100.0)
    host.log.append(logged(1))
    await telemetry.sample()
    frames = telemetry.follow()
    backlog = await frames.__anext__()
    assert backlog["type"] == "backlog"
    assert (backlog["at"], backlog["series"]["ram.used_bytes"]) == ([100.0], [6 * GB])
    assert backlog["decisions"] == [logged(1)]
    host.log += [logged(2), logged(3)]
    host.residents = [resident(1, "one", pid=77), resident(1, "one, read", pid=78, purpose="imatrix")]
    await telemetry.sample()
    delta = await frames.__anext__()
    assert delta["type"] == "delta"
    assert [each["number"] for each in delta["decisions"]] == [2, 3]
    figures = [name for name in delta["figures"] if name.startswith("variant.")]
    assert figures == ["variant.1.tokens_per_second", "variant.1.imatrix.tokens_per_second"]
    assert machine.pids == [77, 78]
    assert "secret" not in str(delta) + str(backlog)
    await frames.aclose()


async def test_a_follower_that_was_busy_gets_the_newest_and_every_decision() -> None:
    host = FakeWatched()
    telemetry = Telemetry(host, FakeMachine())
    await telemetry.sample()
    frames = telemetry.follow()
    await frames.__anext__()
    for number in (1, 2, 3):
        host.log.append(logged(number))
        await telemetry.sample()
    delta = await frames.__anext__()
    assert delta["number"] == 4
    assert [each["number"] for each in delta["decisions"]] == [1, 2, 3]
    await frames.aclose()


async def test_a_follower_that_comes_before_the_first_sample_waits_for_it() -> None:
    telemetry = Telemetry(FakeWatched(), FakeMachine())
    frames = telemetry.follow()
    first = asyncio.ensure_future(frames.__anext__())
    await asyncio.sleep(0)
    await telemetry.sample()
    assert (await asyncio.wait_for(first, 10))["type"] == "backlog"
    await frames.aclose()


async def test_the_ledger_hears_of_foreign_memory_when_it_changes_by_more_than_noise() -> None:
    heard: list[Mapping[str, int]] = []
    machine = FakeMachine()
    telemetry = Telemetry(FakeWatched(), machine, on_foreign=heard.append)
    for available_bytes in (10 * GB, 10 * GB - 1000, 4 * GB, 4 * GB, 4 * GB, 12 * GB):
        machine.available_bytes = available_bytes
        await telemetry.sample()
    assert heard == [{RAM: 6 * GB}, {RAM: 12 * GB}, {RAM: 4 * GB}]


async def test_a_driver_that_hangs_leaves_the_devices_unknown_and_the_host_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampler, "SLOW_READING_SECONDS", 0.01)
    heard: list[Mapping[str, int]] = []
    machine = FakeMachine()
    telemetry = Telemetry(FakeWatched(), machine, on_foreign=heard.append)
    machine.gate.clear()
    await telemetry.sample()
    frames = telemetry.follow()
    (ram,) = (await frames.__anext__())["devices"]
    assert (ram["used_bytes"], ram["foreign_bytes"]) == (None, None)
    assert heard == []
    machine.gate.set()
    monkeypatch.setattr(sampler, "SLOW_READING_SECONDS", 30.0)
    await telemetry.sample()
    (ram,) = (await frames.__anext__())["devices"]
    assert ram["used_bytes"] == 6 * GB
    await frames.aclose()


async def test_sampling_outlives_a_sample_that_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeWatched):
        n_pools = 0

        def pools(self) -> Sequence[Pool]:
            self.n_pools += 1
            if self.n_pools == 1:
                raise RuntimeError("a bug")
            return super().pools()

    monkeypatch.setattr(sampler, "SAMPLE_SECONDS", 0.001)
    telemetry = Telemetry(Broken(), FakeMachine())
    running = asyncio.ensure_future(telemetry.run())
    frames = telemetry.follow()
    assert (await asyncio.wait_for(frames.__anext__(), 10))["type"] == "backlog"
    assert [each.getMessage() for each in caplog.records] == ["a sample failed"]
    running.cancel()
    await frames.aclose()


async def test_decisions_are_counted_by_kind_and_variant_once_each() -> None:
    host = FakeWatched()
    telemetry = Telemetry(host, FakeMachine())
    paused = LoadingPaused("ram", "RAM", 1, "foreign")
    host.log += [logged(1, name="one"), logged(2, name="one"), logged(3, paused)]
    await telemetry.sample()
    host.log = [*host.log[2:], logged(4, name="renamed")]  # the log forgets its oldest
    await telemetry.sample()
    frames = telemetry.follow()
    backlog = await frames.__anext__()
    assert backlog["type"] == "backlog"
    assert {(each["kind"], each["variant"]): each["n"] for each in backlog["decided"]} == {
        ("idle", "renamed"): 3,
        ("pause", None): 1,
    }
    await frames.aclose()


class WithACard(FakeWatched):
    def pools(self) -> Sequence[Pool]:
        return (Pool("gpu0", "NVIDIA GeForce RTX 3060", 12 * GB, 11 * GB),)

    def bus_ids(self) -> Mapping[str, str]:
        return {"gpu0": "0000:01:00.0"}


class Card:
    used_bytes = 0

    def read(self, pids: Iterable[int], bus_ids: Mapping[str, str]) -> Reading:
        card = GpuReading(
            "NVIDIA GeForce RTX 3060", bus_ids["gpu0"], 12 * GB, self.used_bytes, None, None, None, None, {}
        )
        return Reading(RamReading(), {"gpu0": card})

    def close(self) -> None: ...


async def test_what_a_game_holds_of_a_card_stands_while_a_model_is_loaded_beside_it() -> None:
    host, card = WithACard(), Card()
    heard: list[int] = []
    telemetry = Telemetry(host, card, on_foreign=lambda foreign: heard.append(foreign["gpu0"]))
    card.used_bytes = 5 * GB
    for _ in range(SETTLED_SAMPLES):
        await telemetry.sample()
    host.residents = [resident(1, "one", state="loading", pid=77, devices=None, bytes_by_device={"gpu0": 6 * GB})]
    for card.used_bytes in (5 * GB, 8 * GB, 11 * GB):
        await telemetry.sample()
    assert heard == [5 * GB]
