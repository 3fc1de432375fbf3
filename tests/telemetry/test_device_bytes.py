"""Whose bytes are on a device: ours by kind, foreign, reserve, free."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.loads.devices import RAM
from inference.core.scheduling.memory.ledger import Pool
from inference.host.telemetry.sample import RamReading, Reading, Settled, device_telemetry, foreign_bytes, shares
from models_app.hardware.nvidia import GpuReading
from tests.web.fake_host import resident

GB = 10**9
RAM_POOL = Pool(RAM, "RAM", 16 * GB, 12 * GB, 2 * GB)
GPU_POOL = Pool("gpu0", "NVIDIA GeForce RTX 3060", 12 * GB, 11 * GB, GB)


def gpu(used_bytes: int | None, process_bytes: dict[int, int] | None = None) -> GpuReading:
    return GpuReading("NVIDIA GeForce RTX 3060", "0000:01:00.0", 12 * GB, used_bytes, 50, 30, 60, 120.0, process_bytes)


def on_gpu(pid: int | None = 7, **facts: Any) -> Any:
    share = {
        "device": "gpu0",
        "name": "x",
        "weights_bytes": 4 * GB,
        "kv_bytes": GB,
        "compute_bytes": GB,
        "overhead_bytes": 0,
    }
    return resident(1, "m", **{"pid": pid, "devices": [share], "bytes_by_device": {"gpu0": 6 * GB}, **facts})


def test_a_workers_bytes_are_told_by_device_and_kind() -> None:
    assert shares(on_gpu()) == {"gpu0": {"weights": 4 * GB, "kv": GB, "compute": GB}}


def test_what_the_ledger_holds_beyond_measured_buffers_is_overhead() -> None:
    assert shares(on_gpu(bytes_by_device={"gpu0": 7 * GB, RAM: GB})) == {
        "gpu0": {"weights": 4 * GB, "kv": GB, "compute": GB, "overhead": GB},
        RAM: {"overhead": GB},
    }


def test_a_loading_variant_shows_its_reservation() -> None:
    loading = resident(1, "m", state="loading", devices=None, bytes_by_device={RAM: 3 * GB})
    assert shares(loading) == {RAM: {"reserved": 3 * GB}}


def test_foreign_gpu_memory_is_what_the_driver_does_not_give_to_our_processes() -> None:
    reading = Reading(RamReading(), {"gpu0": gpu(9 * GB, {7: 6 * GB, 99: 2 * GB})})
    assert foreign_bytes("gpu0", GPU_POOL, reading, [on_gpu()]) == 3 * GB


def test_where_the_driver_hides_processes_the_workers_own_word_counts() -> None:
    for process_bytes in (None, {}):
        reading = Reading(RamReading(), {"gpu0": gpu(9 * GB, process_bytes)})
        assert foreign_bytes("gpu0", GPU_POOL, reading, [on_gpu()]) == 3 * GB


def on_its_way(state: str) -> Any:
    """Of 6 GB that are reserved for it, nobody tells how much it holds."""
    return on_gpu(8, state=state, devices=None)


@pytest.mark.parametrize("state", ["loading", "unloading"])
@pytest.mark.parametrize(
    ("used", "before", "foreign"),
    [
        (5 * GB, 5 * GB, 5 * GB),  # it holds nothing yet
        (11 * GB, 5 * GB, 5 * GB),  # it holds all of it
        (12 * GB, 5 * GB, 6 * GB),  # it cannot hold more: others do
        (4 * GB, 5 * GB, 4 * GB),  # others have given some back
        (4 * GB, None, 0),
    ],
)
def test_what_a_worker_may_or_may_not_hold_changes_nothing_about_others(
    state: str, used: int, before: int | None, foreign: int
) -> None:
    for process_bytes in (None, {99: GB}):
        reading = Reading(RamReading(), {"gpu0": gpu(used, process_bytes)})
        assert foreign_bytes("gpu0", GPU_POOL, reading, [on_its_way(state)], before) == foreign


def test_a_loading_worker_of_which_the_driver_tells_is_no_riddle() -> None:
    reading = Reading(RamReading(), {"gpu0": gpu(8 * GB, {8: GB})})
    assert foreign_bytes("gpu0", GPU_POOL, reading, [on_its_way("loading")], 2 * GB) == 7 * GB


def test_foreign_memory_is_never_negative_and_unknown_where_the_card_is_silent() -> None:
    assert foreign_bytes("gpu0", GPU_POOL, Reading(RamReading(), {"gpu0": gpu(GB)}), [on_gpu()]) == 0
    assert foreign_bytes("gpu0", GPU_POOL, Reading(RamReading(), {"gpu0": gpu(None)}), [on_gpu()]) is None
    assert foreign_bytes("gpu0", GPU_POOL, Reading(RamReading()), [on_gpu()]) is None
    assert foreign_bytes(RAM, RAM_POOL, Reading(RamReading()), []) is None


def test_foreign_ram_leaves_out_what_our_workers_hold_for_themselves() -> None:
    reading = Reading(RamReading(available_bytes=10 * GB, private_bytes={7: 2 * GB, 8: GB}))
    assert foreign_bytes(RAM, RAM_POOL, reading, []) == 3 * GB


def test_a_device_without_a_card_here_shows_no_other_cards_figures() -> None:
    remote = Pool("gpu1", "RPC0[box:50052]", 12 * GB, 11 * GB)
    shown = device_telemetry(remote, Reading(RamReading(), {"gpu0": gpu(9 * GB)}), [])
    assert (shown["used_bytes"], shown["foreign_bytes"], shown["utilisation_percent"]) == (None, None, None)
    assert [(each["kind"], each["bytes"]) for each in shown["segments"]] == [("free", 12 * GB)]


@given(
    weights=st.integers(0, 20 * GB),
    kv=st.integers(0, GB),
    used=st.none() | st.integers(0, 12 * GB),
    others=st.integers(0, 3),
)
def test_the_bar_adds_up_to_the_device(weights: int, kv: int, used: int | None, others: int) -> None:
    share = {
        "device": "gpu0",
        "name": "x",
        "weights_bytes": weights,
        "kv_bytes": kv,
        "compute_bytes": 0,
        "overhead_bytes": 0,
    }
    residents = [
        resident(n, pid=n, devices=[share], bytes_by_device={"gpu0": weights + kv}) for n in range(1, others + 2)
    ]
    shown = device_telemetry(GPU_POOL, Reading(RamReading(), {"gpu0": gpu(used)}), residents)  # type: ignore[arg-type]
    total = sum(segment["bytes"] for segment in shown["segments"])
    ours = len(residents) * (weights + kv)
    assert total == max(GPU_POOL.capacity_bytes, ours + (shown["foreign_bytes"] or 0))
    assert all(segment["bytes"] > 0 for segment in shown["segments"])
    free = sum(segment["bytes"] for segment in shown["segments"] if segment["kind"] == "free")
    assert free == max(0, GPU_POOL.capacity_bytes - ours - (shown["foreign_bytes"] or 0) - GPU_POOL.reserve_bytes)


def test_foreign_memory_counts_when_it_has_stood_and_goes_at_once() -> None:
    settled = Settled()
    heard = [settled.settle({"gpu0": n})["gpu0"] for n in (1, 1, 1, 9, 9, 9, 2, 2)]
    assert heard == [1, 1, 1, 1, 1, 9, 2, 2]


def test_an_unknown_moment_changes_nothing() -> None:
    settled = Settled()
    settled.settle({"gpu0": 5, "ram": None})
    assert settled.settle({"gpu0": None, "ram": None}) == {"gpu0": 5}
    assert settled.settle({"ram": None}) == {}
