"""What people should know about a placement before anybody waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from inference.core.loads.devices import RAM
from inference.core.planning.placement import Alternative, CannotTell, DeviceBytes, Placement, Shortfall, Wishes
from inference.core.planning.roofline import ASSUMED_BANDWIDTH
from inference.core.planning.smaller_quantization import SmallerQuantization, smaller_quantization
from inference.wording.amounts import on
from models_app.gguf import Header
from models_app.hardware import Device, Profile
from models_app.units import format_bytes, format_rate

SLOW_TOKENS_PER_SECOND = 5.0
"""About how fast people read."""


@dataclass(frozen=True, slots=True)
class Caution:
    code: str
    sentence: str


def cautions(
    alternative: Alternative, placement: Placement, header: Header, profile: Profile, wishes: Wishes
) -> tuple[Caution, ...]:
    found: list[Caution] = []
    n_most = alternative.n_layers + 1
    partial = bool(profile.gpus) and (alternative.n_gpu_layers < n_most or alternative.n_cpu_moe > 0)
    if partial and alternative.n_gpu_layers:
        found.append(_spill(placement.all_on_gpu, n_most))
    if alternative.speed.decode_tokens_per_second < SLOW_TOKENS_PER_SECOND:
        found.append(_slow(alternative))
    if partial or alternative.speed.decode_tokens_per_second < SLOW_TOKENS_PER_SECOND:
        found.extend(_better_choices(header, placement, profile))
    if alternative.type_k != "f16":
        sentence = (
            f"The cache is kept in {alternative.type_k} instead of f16: about half the memory, and a slight loss of "
            "precision in long contexts."
        )
        found.append(Caution("quantized_kv", sentence))
    if alternative.n_ctx_seq < wishes.n_ctx_seq:
        sentence = (
            f"Each slot gets {alternative.n_ctx_seq} tokens of context instead of the preferred {wishes.n_ctx_seq}."
        )
        found.append(Caution("shorter_context", sentence))
    trained = header.n_ctx_train
    if trained is not None and alternative.n_ctx_seq > trained:
        sentence = f"The model was trained with {trained} tokens of context; beyond them its answers get worse."
        found.append(Caution("beyond_training", sentence))
    if not alternative.buffers_known:
        sentence = (
            f"How much memory {header.architecture} needs for intermediate results is not known; a cautious amount is "
            "set aside. A dry run tells exactly."
        )
        found.append(Caution("buffers_not_known", sentence))
    owners = zip(alternative.devices, (profile.ram, *profile.gpus), strict=False)
    unknown = [owner for used, owner in owners if used.weights_bytes and owner.bandwidth_bytes_per_second is None]
    if unknown:
        found.append(_unknown_bandwidth(unknown[-1]))
    return tuple(found)


def _unknown_bandwidth(device: Device) -> Caution:
    sentence = (
        f"How fast {device.name} reads its memory is not known. {format_rate(ASSUMED_BANDWIDTH[device.kind])} is assumed, "
        "so take the tokens/s for a rough guess."
    )
    return Caution("bandwidth_not_known", sentence)


def _spill(whole: tuple[DeviceBytes, ...], n_most: int) -> Caution:
    """The trap of small cards: it loads, nobody complains, and it is ten to a thousand times slower."""
    tight = max(whole[1:], key=lambda each: each.total_bytes - each.budget_bytes)
    return Caution(
        "silent_spill",
        f"Do not raise it to all {n_most} layers: that takes {format_bytes(tight.total_bytes)} of the "
        f"{format_bytes(tight.budget_bytes)} to spend on {tight.name}, of which "
        f"{format_bytes(tight.compute_bytes + tight.overhead_bytes)} are buffers that need room besides the weights. "
        "Drivers then move memory to RAM without an error, and answers become many times slower.",
    )


def _slow(alternative: Alternative) -> Caution:
    speed = alternative.speed.decode_tokens_per_second
    answer_seconds = 300 / speed
    length = f"{answer_seconds / 60:.0f} minutes" if answer_seconds >= 90 else f"{answer_seconds:.0f} seconds"
    ram = alternative.devices[0]
    where = (
        f", because {format_bytes(ram.weights_bytes)} of it must be read from {ram.name}" if ram.weights_bytes else ""
    )
    sentence = f"Slow: about {speed:.1f} tokens/s{where}. An answer of 300 tokens takes about {length}."
    return Caution("slow", sentence)


def _better_choices(header: Header, placement: Placement, profile: Profile) -> list[Caution]:
    """A quantization that fits the GPUs whole; else one that is a fifth smaller, and a smaller model."""
    besides = sum(each.total_bytes - each.weights_bytes for each in placement.all_on_gpu[1:])
    budget_bytes = sum(gpu.budget_bytes for gpu in profile.gpus)
    whole = smaller_quantization(header, lambda n_bytes: n_bytes + besides <= budget_bytes) if profile.gpus else None
    if whole is not None:
        return [_smaller(whole, "fits the GPU whole")]
    less = smaller_quantization(header, lambda n_bytes: n_bytes <= 0.82 * header.tensor_bytes)
    found = [] if less is None else [_smaller(less, "is faster, for there is less to read from RAM")]
    sentence = "A model with fewer parameters would be much faster"
    return [*found, Caution("smaller_model", sentence + (", if it fits the GPU whole." if profile.gpus else "."))]


def _smaller(better: SmallerQuantization, gain: str) -> Caution:
    return Caution(
        "smaller_quantization",
        f"{better.name} (about {format_bytes(better.weights_bytes)}) {gain}. {better.description} "
        f"It adds {better.perplexity_added:.2f} to the perplexity of Llama 3 8B, where Q4_K_M adds 0.18.",
    )


def reason_of(shortfall: Shortfall) -> str:
    """Why there is no alternative, and what would help."""
    is_ram = bool(shortfall.devices) and shortfall.devices[0].name == shortfall.device
    place = on(RAM if is_ram else shortfall.device, shortfall.device)
    sentence = (
        f"It needs at least {format_bytes(shortfall.needed_bytes)} {place}, "
        f"where {format_bytes(shortfall.budget_bytes)} may be spent."
    )
    if shortfall.wish == "may_leave_gpu":
        return sentence + " It would fit if some layers were allowed to stay in RAM."
    if shortfall.wish == "n_gpu_layers":
        return sentence + " It would fit with fewer layers on the GPU than its owner has fixed."
    if shortfall.wish == "n_ctx_seq":
        return sentence + " A shorter context would fit."
    return sentence + " Choose a smaller quantization or a smaller model, or allow more memory."


def unknown_reason(error: CannotTell) -> str:
    return f"The file does not tell {error.what}."
