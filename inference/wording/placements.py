"""What people should know about a placement before anybody waits for it, in sentences."""

from __future__ import annotations

from inference.core.planning.cautions import (
    BandwidthNotKnown,
    BetterSmaller,
    BeyondTraining,
    BuffersNotKnown,
    Caution,
    QuantizedCache,
    ShorterContext,
    SilentSpill,
    Slow,
    SmallerModel,
)
from inference.core.planning.footprint import CannotTell, NotTold
from inference.core.planning.placement import Shortfall
from inference.wording.translation import gettext as _
from inference.wording.translation import ngettext
from models_app.units import format_bytes, format_rate


def sentence(caution: Caution) -> str:
    match caution:
        case SilentSpill(n_most_layers=n, tightest=tightest):
            return _(
                "Do not raise it to all {n} layers: that takes {total} of the {budget} to spend on {device}, of which "
                "{buffers} are buffers that need room besides the weights. Drivers then move memory to RAM without an "
                "error, and answers become many times slower."
            ).format(
                n=n,
                total=format_bytes(tightest.total_bytes),
                budget=format_bytes(tightest.budget_bytes),
                device=tightest.name,
                buffers=format_bytes(tightest.compute_bytes + tightest.overhead_bytes),
            )
        case Slow():
            return _slow(caution)
        case BetterSmaller():
            return _better(caution)
        case SmallerModel(has_gpu=has_gpu):
            if has_gpu:
                return _("A model with fewer parameters would be much faster, if it fits the GPU whole.")
            return _("A model with fewer parameters would be much faster.")
        case QuantizedCache(type_k=kind):
            return _(
                "The cache is kept in {type} instead of f16: about half the memory, and a slight loss of precision in "
                "long contexts."
            ).format(type=kind)
        case ShorterContext(n_ctx_seq=n_ctx_seq, preferred=preferred):
            return _("Each slot gets {n} tokens of context instead of the preferred {preferred}.").format(
                n=n_ctx_seq, preferred=preferred
            )
        case BeyondTraining(n_ctx_train=trained):
            return _("The model was trained with {n} tokens of context; beyond them its answers get worse.").format(
                n=trained
            )
        case BuffersNotKnown(architecture=architecture):
            return _(
                "How much memory {architecture} needs for intermediate results is not known; a cautious amount is set "
                "aside. A dry run tells exactly."
            ).format(architecture=architecture)
        case BandwidthNotKnown(device_name=device, assumed_bytes_per_second=assumed):
            return _(
                "How fast {device} reads its memory is not known. {rate} is assumed, so take the tokens/s for a rough "
                "guess."
            ).format(device=device, rate=format_rate(assumed))


def _slow(caution: Slow) -> str:
    speed, ram = caution.decode_tokens_per_second, caution.ram
    facts = {"speed": f"{speed:.1f}", "size": format_bytes(ram.weights_bytes), "device": ram.name}
    if ram.weights_bytes:
        why = _("Slow: about {speed} tokens/s, because {size} of it must be read from {device}.").format(**facts)
    else:
        why = _("Slow: about {speed} tokens/s.").format(**facts)
    answer_seconds = 300 / speed
    if answer_seconds >= 90:
        n = round(answer_seconds / 60)
        length = ngettext(
            "An answer of 300 tokens takes about {n} minute.", "An answer of 300 tokens takes about {n} minutes.", n
        )
    else:
        n = round(answer_seconds)
        length = ngettext(
            "An answer of 300 tokens takes about {n} second.", "An answer of 300 tokens takes about {n} seconds.", n
        )
    return f"{why} {length.format(n=n)}"


def _better(caution: BetterSmaller) -> str:
    better = caution.quantization
    facts = {"name": better.name, "size": format_bytes(better.weights_bytes)}
    if caution.fits_gpu:
        gain = _("{name} (about {size}) fits the GPU whole.").format(**facts)
    else:
        gain = _("{name} (about {size}) is faster, for there is less to read from RAM.").format(**facts)
    cost = _("It adds {added} to the perplexity of Llama 3 8B, where Q4_K_M adds 0.18.").format(
        added=f"{better.perplexity_added:.2f}"
    )
    return f"{gain} {better.description} {cost}"


def reason_of(shortfall: Shortfall) -> str:
    """Why there is no way to load it, and what would help."""
    needs = _("It needs at least {needed} on {device}, where {budget} may be spent.")
    if shortfall.is_ram:
        needs = _("It needs at least {needed} in RAM, where {budget} may be spent.")
    needs = needs.format(
        needed=format_bytes(shortfall.needed_bytes),
        device=shortfall.device,
        budget=format_bytes(shortfall.budget_bytes),
    )
    match shortfall.wish:
        case "may_leave_gpu":
            return needs + " " + _("It would fit if some layers were allowed to stay in RAM.")
        case "n_gpu_layers":
            return needs + " " + _("It would fit with fewer layers on the GPU than its owner has fixed.")
        case "n_ctx_seq":
            return needs + " " + _("A shorter context would fit.")
    return needs + " " + _("Choose a smaller quantization or a smaller model, or allow more memory.")


def unknown_reason(error: CannotTell) -> str:
    if error.what is NotTold.N_LAYERS:
        return _("The file does not tell how many layers it has.")
    return _(
        "The file does not tell how {architecture} keeps its context; a dry run on the machine itself tells."
    ).format(architecture=error.architecture)
