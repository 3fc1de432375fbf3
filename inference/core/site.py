"""What a worker may use to load on: the GPUs that llama.cpp has here, by our names for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Site:
    rpc_servers: tuple[str, ...] = ()
    """`host:port` of ggml RPC servers."""
    gpus: tuple[tuple[str, str], ...] | None = None
    """In the order of the hardware profile: our name (`gpu0`) and llama.cpp's (`CUDA0`). None: all there are; (): none."""

    bus_ids: tuple[tuple[str, str], ...] = ()
    """Our name and the place on the PCI bus (`0000:01:00.0`) of the cards in this machine, as far as llama.cpp tells. Workers
    need not know."""

    @classmethod
    def from_json(cls, message: Mapping[str, Any]) -> Site:
        """The fields of engine.protocol.Launch. Raises ValueError."""
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
