"""Predicts how fast a placement is: bytes that each device reads for a token, by its bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models_app.hardware import Device

# Until a device was measured. llama.cpp reaches about these shares of the bandwidths that vendors print.
_REACHED = {"gpu": 0.70, "ram": 0.55}
_TOKEN_SECONDS = {"gpu": 0.0003, "ram": 0.0004}
"""Per token and device that has work: launches, synchronisation, sampling."""
_LAYER_SECONDS = {"gpu": 0.00003, "ram": 0.00002}
ASSUMED_BANDWIDTH = {"gpu": 300 * 10**9, "ram": 40 * 10**9}
"""Bytes per second, by kind of device, of one whose own is not known."""
_ASSUMED_PCIE = 12 * 10**9
_GPU_OPERATIONS_PER_BYTE = 50
"""Of prefill, per byte of bandwidth: cards with more of one have more of the other."""
_CORE_OPERATIONS_PER_SECOND = 40 * 10**9


@dataclass(frozen=True, slots=True)
class Share:
    """What one device does for each token."""

    device: Device
    read_bytes: int
    """Weights of the layers, of the chosen experts, and the cache of a half-full slot."""
    n_active_params: float
    n_layers: int


@dataclass(frozen=True, slots=True)
class Speed:
    decode_tokens_per_second: float
    """One answer at a time."""
    prefill_tokens_per_second: float
    limited_by: str
    """The name of the device whose reading takes most of a token's time."""


def predict(shares: Sequence[Share], *, n_cores: int, n_ubatch: int, offloads: bool) -> Speed:
    """`offloads`: a GPU computes the host's layers in prefill, with weights that travel over PCIe."""
    working = [share for share in shares if share.n_layers or share.read_bytes]
    decode = [_decode_seconds(share) for share in working]
    prefill = sum(_prefill_seconds(share, working, n_cores, n_ubatch, offloads) for share in working)
    slowest = working[max(range(len(working)), key=decode.__getitem__)]
    return Speed(1 / sum(decode), n_ubatch / prefill, slowest.device.name)


def _bandwidth(device: Device) -> float:
    return (device.bandwidth_bytes_per_second or ASSUMED_BANDWIDTH[device.kind]) * _REACHED[device.kind]


def _decode_seconds(share: Share) -> float:
    kind = share.device.kind
    return share.read_bytes / _bandwidth(share.device) + _TOKEN_SECONDS[kind] + share.n_layers * _LAYER_SECONDS[kind]


def _prefill_seconds(share: Share, shares: Sequence[Share], n_cores: int, n_ubatch: int, offloads: bool) -> float:
    """Seconds for one batch of `n_ubatch` tokens."""
    operations = 2 * share.n_active_params * n_ubatch
    if share.device.kind == "gpu":
        by_arithmetic = operations / (_bandwidth(share.device) * _GPU_OPERATIONS_PER_BYTE)
    else:
        by_arithmetic = operations / (n_cores * _CORE_OPERATIONS_PER_SECOND)
        gpu = next((each.device for each in shares if each.device.kind == "gpu"), None)
        if offloads and gpu is not None and n_ubatch >= 32:
            by_transfer = share.read_bytes / (gpu.pcie_bytes_per_second or _ASSUMED_PCIE)
            by_arithmetic = min(by_arithmetic, by_transfer + operations / (_bandwidth(gpu) * _GPU_OPERATIONS_PER_BYTE))
    return max(by_arithmetic, _decode_seconds(share))
