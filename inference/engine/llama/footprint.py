"""What llama.cpp allocated and where, gathered from its log line by line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inference.core.loads.devices import RAM
from inference.core.planning.header import Header
from inference.engine.llama.log_lines import BufferSize, BufferUse, LayerPlace, read_load_line
from inference.engine.protocol import DeviceReport

_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True)
class DeviceName:
    """One GPU under all its names."""

    device: str
    """Ours: `gpu0`."""
    name: str
    """For a person."""
    buffers: str
    """Of llama.cpp's buffers there: `CUDA0`, `RPC0[host:port]`. Some backends add a suffix: `MTL0_Private`."""


class Buffers:
    """Gathers the sizes that llama.cpp has logged so far, by the names of its buffers."""

    def __init__(self) -> None:
        self._layers: dict[int, str] = {}
        self._weights: dict[str, float] = {}
        self._caches: dict[str, float] = {}
        self._compute: dict[tuple[str, BufferUse], float] = {}

    def note(self, line: str) -> None:
        """Takes in a line of the log, whatever it is about."""
        found = read_load_line(line)
        if isinstance(found, LayerPlace):
            self._layers[found.layer] = found.device
        elif isinstance(found, BufferSize):
            if found.use == "weights":
                self._weights[found.buffer] = self._weights.get(found.buffer, 0) + found.n_bytes
            elif found.use == "cache":
                self._caches[found.buffer] = self._caches.get(found.buffer, 0) + found.n_bytes
            else:
                # Reserving graphs again prints the line again: the last one counts.
                self._compute[found.buffer, found.use] = found.n_bytes

    def grow_output(self, n_bytes: int) -> None:
        """Notes the output buffer's final size: llama.cpp grows it without a word once more than a row a sequence are asked for."""
        for each in self._compute:
            if each[1] == "output":
                self._compute[each] = max(self._compute[each], n_bytes)

    @property
    def n_gpu_layers(self) -> int:
        """How many layers are really offloaded; the output counts as one."""
        return sum(not device.startswith("CPU") for device in self._layers.values())

    def devices(self, gpus: Sequence[DeviceName], header: Header, beside_bytes: int = 0) -> list[DeviceReport]:
        """What each device holds, `ram` first. `beside_bytes`: of the worker's own in RAM, counted with the compute buffers.

        The host's weights are those of the file that no GPU took: while a file is mapped, llama.cpp prints the span of the
        mapping, which covers tensors that went elsewhere too, and weights rearranged for the processor come on top of it.
        """
        weights, caches = _by_device(self._weights.items(), gpus), _by_device(self._caches.items(), gpus)
        compute = _by_device(self._computed().items(), gpus)
        weights[RAM] = max(0, header.tensor_bytes + self._copied_bytes(header) - sum(weights.values()) + weights[RAM])
        compute[RAM] += beside_bytes
        named = [(RAM, "RAM"), *((gpu.device, gpu.name) for gpu in gpus)]
        return [
            DeviceReport(
                device=device,
                name=name,
                weights_bytes=weights[device],
                kv_bytes=caches[device],
                compute_bytes=compute[device],
                overhead_bytes=0,
            )
            for device, name in named
        ]

    def _computed(self) -> dict[str, float]:
        totals: dict[str, float] = {}
        for (name, _), n_bytes in self._compute.items():
            totals[name] = totals.get(name, 0) + n_bytes
        return totals

    def _copied_bytes(self, header: Header) -> int:
        """A GPU that computes the output of a model without a head of its own gets a copy of the embedding."""
        sizes = {tensor.name: tensor.n_bytes for tensor in header.tensors if tensor.layer is None}
        output = self._layers.get(max(self._layers, default=0), "CPU")
        return 0 if _HEAD in sizes or output.startswith("CPU") else sizes.get(_EMBEDDING, 0)


def _by_device(sizes: Iterable[tuple[str, float]], gpus: Sequence[DeviceName]) -> dict[str, int]:
    totals = {RAM: 0.0} | {gpu.device: 0.0 for gpu in gpus}
    for name, n_bytes in sizes:
        owner = next((gpu for gpu in gpus if name == gpu.buffers or name.startswith(gpu.buffers + "_")), None)
        totals[RAM if owner is None else owner.device] += n_bytes
    return {device: round(n_bytes) for device, n_bytes in totals.items()}
