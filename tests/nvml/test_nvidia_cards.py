"""What NVML tells, under the real pynvml: cards and programs come and go, calls fail, drivers vanish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models_app.hardware.nvidia import RETRY_SECONDS
from tests.nvml.machine import GIB, RTX_3060, Machine, compile_stub

NOT_SUPPORTED, DRIVER_NOT_LOADED, GPU_IS_LOST, UNKNOWN = 3, 9, 15, 999


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_stub(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(tmp_path: Path, library: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, library)
    yield machine
    machine.close()


def test_a_card_is_read_as_the_driver_tells_it(machine: Machine) -> None:
    machine.has({**RTX_3060, "processes": "4711:2147483648 4712:-"})
    (gpu,) = machine.ask("read")
    assert gpu == {
        "name": "NVIDIA GeForce RTX 3060",
        "bus_id": "0000:0a:00.0",
        "total_bytes": 12 * GIB,
        "used_bytes": 1 * GIB,
        "utilisation_percent": 40,
        "bandwidth_percent": 25,
        "temperature_celsius": 61,
        "power_watts": 120.5,
        "process_bytes": {"4711": 2 * GIB},
    }


def test_foreign_programs_come_and_go(machine: Machine) -> None:
    seen = []
    for used, processes in ((1, ""), (5, "99:4294967296"), (1, "")):
        machine.has({**RTX_3060, "used": used * GIB, "processes": processes})
        (gpu,) = machine.ask("read")
        seen.append((gpu["used_bytes"] // GIB, gpu["process_bytes"]))
    assert seen == [(1, {}), (5, {"99": 4 * GIB}), (1, {})]


def test_cards_appear_and_disappear(machine: Machine) -> None:
    machine.has(RTX_3060)
    assert len(machine.ask("read")) == 1
    machine.has(RTX_3060, {**RTX_3060, "name": "Second"})
    assert [gpu["name"] for gpu in machine.ask("read")] == ["NVIDIA GeForce RTX 3060", "Second"]
    machine.has()
    assert machine.ask("read") == []


@pytest.mark.parametrize(
    ("failing", "unknown"),
    [
        ("bus_id", {"bus_id"}),
        ("memory", {"total_bytes", "used_bytes"}),
        ("utilisation", {"utilisation_percent", "bandwidth_percent"}),
        ("temperature", {"temperature_celsius"}),
        ("power", {"power_watts"}),
        ("processes", {"process_bytes"}),
    ],
)
def test_what_a_card_does_not_tell_is_unknown_and_the_rest_is_told(
    machine: Machine, failing: str, unknown: set[str]
) -> None:
    machine.has({**RTX_3060, failing: f"error {UNKNOWN}"}, RTX_3060)
    one, other = machine.ask("read")
    assert {name for name, value in one.items() if value is None} == unknown
    assert None not in other.values()


@pytest.mark.parametrize("fault", ["count", "handle"])
def test_a_lost_session_is_opened_again(machine: Machine, fault: str) -> None:
    machine.has(RTX_3060)
    assert len(machine.ask("read")) == 1
    if fault == "count":
        machine.has(RTX_3060, count=f"error {UNKNOWN}")
    else:
        machine.has({**RTX_3060, "handle": f"error {GPU_IS_LOST}"})
    assert machine.ask("read") == []
    machine.has(RTX_3060)
    assert machine.ask("read") == [], "asked again at once"
    machine.ask(f"pass {RETRY_SECONDS}")
    assert len(machine.ask("read")) == 1


def test_a_driver_that_is_loaded_later_is_found(machine: Machine) -> None:
    machine.has(RTX_3060, init=f"error {DRIVER_NOT_LOADED}")
    assert machine.ask("read") == []
    assert machine.ask("gpus") == []
    machine.has(RTX_3060)
    machine.ask(f"pass {RETRY_SECONDS}")
    assert len(machine.ask("read")) == 1


def test_without_a_driver_there_are_no_cards_and_pynvml_stays_out(tmp_path: Path) -> None:
    machine = Machine(tmp_path, None)
    try:
        assert machine.ask("gpus") == []
        assert machine.ask("read") == []
        assert machine.ask("imported") is False
    finally:
        machine.close()


def test_a_cards_bandwidth_follows_from_its_clock_and_bus(machine: Machine) -> None:
    machine.has(RTX_3060)
    (gpu,) = machine.ask("gpus")
    assert gpu["memory_bytes"] == 12 * GIB
    assert gpu["bandwidth_bytes_per_second"] == 2 * 7501 * 1_000_000 * 192 // 8
    assert gpu["pcie_bytes_per_second"] == 16 * 1_969_000_000


def test_a_known_card_keeps_its_listed_bandwidth_where_the_driver_is_silent(machine: Machine) -> None:
    machine.has({**RTX_3060, "memory_clock": f"error {NOT_SUPPORTED}", "pcie_lanes": f"error {NOT_SUPPORTED}"})
    (gpu,) = machine.ask("gpus")
    assert gpu["bandwidth_bytes_per_second"] == 360_000_000_000
    assert gpu["pcie_bytes_per_second"] is None


def test_a_card_without_memory_facts_does_not_hide_the_others(machine: Machine) -> None:
    machine.has({**RTX_3060, "memory": f"error {UNKNOWN}"}, {**RTX_3060, "name": "Second"})
    assert [gpu["name"] for gpu in machine.ask("gpus")] == ["Second"]


def test_looking_for_cards_leaves_a_running_session_alone(machine: Machine) -> None:
    machine.has(RTX_3060)
    assert len(machine.ask("read")) == 1
    assert len(machine.ask("gpus")) == 1
    assert len(machine.ask("read")) == 1


def test_telemetry_finds_a_card_by_its_place_on_the_bus_whatever_the_drivers_order(machine: Machine) -> None:
    machine.has(
        {**RTX_3060, "name": "Display", "bus_id": "00000000:01:00.0"},
        {**RTX_3060, "name": "Big", "bus_id": "00000000:0A:00.0"},
    )
    assert machine.ask("cards 0000:0a:00.0 0000:01:00.0") == {"gpu0": "Big", "gpu1": "Display"}
    assert machine.ask("cards 0000:02:00.0 0000:0A:00.0") == {"gpu1": "Big"}
    assert machine.ask("cards nowhere") == {}
