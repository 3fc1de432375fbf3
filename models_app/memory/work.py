"""Who computes what of a model."""

from __future__ import annotations

from dataclasses import dataclass

from models_app.memory.graph import HOST

_PIPELINED_COPIES = 4
"""ggml-backend.cpp's GGML_SCHED_MAX_COPIES."""


@dataclass(frozen=True, slots=True)
class Work:
    """Which layers a device computes. The host is device 0; it also embeds the tokens."""

    devices: tuple[int, ...]
    """By layer."""
    output_device: int
    n_devices: int
    experts_on_host: frozenset[int] = frozenset()
    """Layers whose experts the host computes."""
    cuda: frozenset[int] = frozenset()
    """Devices of llama.cpp's CUDA backend. The first used one runs large batches for the host (`op_offload`)."""

    @property
    def used(self) -> frozenset[int]:
        """Devices with layers, or the output: a worker asks for no others."""
        return frozenset({*self.devices, self.output_device})

    @property
    def helper(self) -> int | None:
        """Runs large batches for the host."""
        host_works = HOST in self.devices or bool(self.experts_on_host)
        return min(self.used & self.cuda, default=None) if host_works else None

    @property
    def n_copies(self) -> int:
        """Batches that llama.cpp keeps under way at once: where several cards share all the layers, they work as a pipeline."""
        pipelined = len(self.used) > 1 and self.used <= self.cuda and not self.experts_on_host
        return _PIPELINED_COPIES if pipelined else 1

    def joined_on(self, number: int) -> int:
        """Where layer `number` hands over: from the host, llama.cpp's scheduler lets the next device take the sum."""
        own = self.devices[number]
        following = self.devices[number + 1] if number + 1 < len(self.devices) else self.output_device
        return following if own == HOST else own


def split_work(n_layers: int, n_gpu_layers: int | None, *, cuda: bool = False) -> Work:
    """Layers counted from the last go to device 1; the output counts as one more. None: all."""
    wanted = n_layers + 1 if n_gpu_layers is None else min(n_gpu_layers, n_layers + 1)
    first = max(0, n_layers + 1 - wanted)
    return Work(
        tuple(int(number >= first) for number in range(n_layers)),
        int(wanted > 0),
        2,
        cuda=frozenset({1} if cuda and wanted else ()),
    )
