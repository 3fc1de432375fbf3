"""What a worker may use to load on: the GPUs that llama.cpp has here, by our names for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inference.core.loads.options import LoadOptions

_REMOTE = re.compile(r"RPC\d+\[(.+)\]")
_CUDA = re.compile(r"CUDA(\d+)")


def server_of(key: str) -> str | None:
    """`host:port` of the RPC server behind llama.cpp's name for a device; None for one in this machine."""
    found = _REMOTE.fullmatch(key)
    return found[1] if found else None


def cuda_number(key: str) -> int | None:
    """1 of `CUDA1`; None for a device of another kind."""
    found = _CUDA.fullmatch(key)
    return int(found[1]) if found else None


def seen_alone(keys: Iterable[str], visible: str | None) -> tuple[str, dict[str, str]] | None:
    """What CUDA_VISIBLE_DEVICES must be for a process that uses the cards among `keys` and none before them, and by which names
    llama.cpp then knows those cards. `visible`: what it is. None: it is well as it is.

    CUDA gives each thread the first card until that asks for another one, and with it a context there.
    """
    numbers = sorted(number for key in keys if (number := cuda_number(key)) is not None)
    if numbers == list(range(len(numbers))):
        return None
    cards = visible.split(",") if visible else [str(number) for number in range(numbers[-1] + 1)]
    if numbers[-1] >= len(cards):
        return None
    renamed = {f"CUDA{number}": f"CUDA{place}" for place, number in enumerate(numbers)}
    return ",".join(cards[number] for number in numbers), renamed


@dataclass(frozen=True, slots=True)
class EngineDevices:
    """The devices that a host's workers may load on. Frozen when the host starts."""

    rpc_servers: tuple[str, ...] = ()
    """`host:port` of ggml RPC servers."""
    gpus: tuple[tuple[str, str], ...] | None = None
    """In the order of the hardware profile: our name (`gpu0`) and llama.cpp's (`CUDA0`). None: all there are; (): none."""

    bus_ids: tuple[tuple[str, str], ...] = ()
    """Our name and the place on the PCI bus (`0000:01:00.0`) of the cards in this machine, as far as llama.cpp tells. Workers
    need not know."""

    @property
    def remote(self) -> tuple[str, ...]:
        """Our names of the devices on other machines."""
        return tuple(device for device, key in self.gpus or () if server_of(key) is not None)

    def needed_for(self, options: LoadOptions) -> tuple[EngineDevices, LoadOptions]:
        """The devices without the GPUs that get no layer, and `options` for what is left.

        A server may be busy with another worker, and whoever as much as asks it then waits until that one ends; a card gives a
        process that as much as touches it a context, which takes hundreds of MB of it.
        """
        if self.gpus is None:
            return self, options
        split = options.tensor_split
        kept = [
            number
            for number in range(len(self.gpus))
            if options.n_gpu_layers != 0 and (split is None or any(split[number : number + 1]))
        ]
        gpus = tuple(self.gpus[number] for number in kept)
        servers = {server_of(key) for _, key in gpus}
        devices = replace(self, rpc_servers=tuple(each for each in self.rpc_servers if each in servers), gpus=gpus)
        if split is not None:
            options = replace(
                options, tensor_split=tuple(split[number] for number in kept if number < len(split)) or None
            )
        return devices, options

    @classmethod
    def from_json(cls, message: Mapping[str, Any]) -> EngineDevices:
        """The devices that an engine.protocol.Launch names. Raises ValueError."""
        servers, gpus = message.get("rpc_servers", []), message.get("gpus")
        if not isinstance(servers, list) or not all(isinstance(each, str) for each in servers):
            raise ValueError("rpc_servers is a list of host:port")
        if gpus is None:
            return cls(tuple(servers))
        if not isinstance(gpus, dict) or not all(isinstance(key, str) for key in gpus.values()):
            raise ValueError("gpus is an object with a device for each of our names")
        return cls(tuple(servers), tuple(gpus.items()))

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"rpc_servers": list(self.rpc_servers)}
        return fields if self.gpus is None else {**fields, "gpus": dict(self.gpus)}
