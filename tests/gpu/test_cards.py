"""llama.cpp and NVML speak of the same cards."""

from __future__ import annotations

from models_app.hardware.nvidia import nvidia_gpus, pci_address
from tests.gpu.cards import Cards

MOST_MEMORY_UNTOLD = 0.03
"""CUDA leaves out what the driver keeps for itself."""


def test_each_card_has_the_address_on_the_bus_that_nvml_tells(cards: Cards) -> None:
    places = [each.bus_id for each in cards.all_read()]
    assert None not in places
    assert len(set(places)) == len(places)
    for each in cards.listed.values():
        assert each.bus_id is not None, f"llama.cpp does not tell where {each.name} is"
        assert places.count(pci_address(each.bus_id)) == 1, f"{each.name} at {each.bus_id} is none of {places}"


def test_a_card_has_one_name_and_one_size(cards: Cards) -> None:
    """By its name the engine's card is found in the profile that NVML filled."""
    for device, reading in cards.read().items():
        listed = cards.listed[device]
        assert listed.name == reading.name
        assert listed.memory_bytes is not None
        assert reading.total_bytes is not None
        assert 0 <= reading.total_bytes - listed.memory_bytes <= MOST_MEMORY_UNTOLD * reading.total_bytes


def test_cards_stand_in_the_order_of_the_bus(cards: Cards) -> None:
    """Both count by it, so that `gpu0` of the profile is `gpu0` of the worker."""
    names = [each.name for each in nvidia_gpus()]
    places = [pci_address(each.bus_id or "") or "" for each in cards.listed.values()]
    assert places == sorted(places)
    assert [each.name for each in cards.all_read()] == names


def test_a_card_tells_what_a_plan_asks_of_it(cards: Cards) -> None:
    for each in nvidia_gpus():
        assert each.bandwidth_bytes_per_second, f"nothing tells how fast the memory of {each.name} is"
        assert each.pcie_bytes_per_second, f"nothing tells how {each.name} is connected"
