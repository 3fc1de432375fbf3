"""How a variant is loaded: the allow-list of load options, with llama.cpp's spellings.

Anything a caller sends that is not named here is refused. Load options reach llama.cpp, so an open-ended
mapping would hand strangers its whole parameter surface.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from inference.core.loads.purposes import PURPOSES, Purpose

KV_TYPES = ("f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""KV cache types that llama.cpp accepts for `type_k` and `type_v`."""

_RANGES: dict[str, tuple[int, int]] = {
    "n_ctx_seq": (64, 4_194_304),
    "n_seq_max": (1, 64),
    "n_gpu_layers": (0, 10_000),
    "n_batch": (32, 16_384),
    "n_ubatch": (32, 16_384),
    "n_threads": (1, 1_024),
    "n_cpu_moe": (0, 10_000),
}
_MOST_GPUS = 64
_MOST_LAYERS_ON_A_GPU = 10_000


class BadOptions(ValueError):
    """A load option is unknown or out of range. `name` is the option, `allowed` says what would do."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"load option {name}={value!r}: {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Everything that decides what a worker allocates.

    Two equal values may share a worker. `None` leaves the choice to llama.cpp or to the machine:
    `n_gpu_layers=None` means all layers, `n_threads=None` the physical cores.
    """

    n_ctx_seq: int = 4096
    """Context of one slot, in tokens."""
    n_seq_max: int = 4
    """Slots: how many answers are generated at once."""
    n_gpu_layers: int | None = None
    n_batch: int = 2048
    n_ubatch: int = 512
    type_k: str = "f16"
    type_v: str = "f16"
    n_threads: int | None = None
    n_cpu_moe: int = 0
    """Of the first layers, how many leave their experts in RAM."""
    tensor_split: tuple[int, ...] | None = None
    """Layers by GPU, in the order of the hardware profile; the output goes where the last layer does. None: llama.cpp's choice."""
    purpose: Purpose = "chat"
    """For an importance matrix the context hears its graph, and has logits for every token of a step."""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in ("n_gpu_layers", "n_threads"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise BadOptions(name, value, f"a whole number from {least} to {most}")
        for name in ("type_k", "type_v"):
            if getattr(self, name) not in KV_TYPES:
                raise BadOptions(name, getattr(self, name), "one of " + ", ".join(KV_TYPES))
        if self.purpose not in PURPOSES:
            raise BadOptions("purpose", self.purpose, "one of " + ", ".join(PURPOSES))
        if self.tensor_split is not None:
            object.__setattr__(self, "tensor_split", _layers_by_gpu(self.tensor_split))

    @property
    def n_ctx(self) -> int:
        """Tokens in the unified KV cache: every slot can reach its full context at the same time."""
        return self.n_ctx_seq * self.n_seq_max

    @property
    def n_outputs(self) -> int | None:
        """Rows of logits; None: one a sequence. A layer passes over tokens that nobody wants logits of: the last one would."""
        return min(self.n_ubatch, self.n_batch) if self.purpose == "imatrix" else None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LoadOptions:
        """The options in `values`, defaults for the rest. Raises BadOptions for a name not listed here."""
        known = {field.name for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise BadOptions(name, value, "unknown; known are " + ", ".join(sorted(known)))
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """As JSON would read it back: lists, no tuples. The usual purpose goes unsaid, as in all that was ever stored."""
        values = {**asdict(self), "tensor_split": None if self.tensor_split is None else list(self.tensor_split)}
        if self.purpose == "chat":
            del values["purpose"]
        return values


def _layers_by_gpu(value: object) -> tuple[int, ...]:
    """Raises BadOptions."""
    if not isinstance(value, list | tuple) or not len(value) <= _MOST_GPUS:
        raise BadOptions("tensor_split", value, f"a list of at most {_MOST_GPUS} whole numbers")
    for each in value:
        if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each <= _MOST_LAYERS_ON_A_GPU:
            raise BadOptions("tensor_split", value, f"whole numbers from 0 to {_MOST_LAYERS_ON_A_GPU}, one a GPU")
    return tuple(value)
