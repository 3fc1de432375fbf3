"""The kind `measure`: measures how well a variant foretells a text, against its best sibling, and how fast.

It takes leases as a chat does: of the sibling first, of the variant then. Logits pass through files of the models' folder,
the sibling's are kept until they have been compared.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings

from inference.core.decoding.generation_options import GenerationOptions
from inference.host.api.client import HostClient
from inference.jobs.leasing import FULL_DISK_SECONDS, Waiting, ended_by_the_host, waited
from inference.jobs.orders import base_name
from inference.jobs.stages import READING, WAITING, reading, waiting
from inference.jobs.texts import TEXT, TEXT_NAME
from inference.jobs.ticking import ticking
from models_app.gguf.quantization import QUANTIZATION_TYPES_BY_NAME
from models_app.intake.space import DiskSpace, free_bytes
from models_app.jobs import Attempt, JobFailed, Wait
from models_app.models import Quality, Variant

if TYPE_CHECKING:
    from inference.jobs.perplexity import Window

MEASURING = ".measuring"
WINDOW_TOKENS = 512
MOST_WINDOWS = 6
SPEED_TOKENS = 48


def run(attempt: Attempt) -> None:
    """`attempt.spec`: `variant_id`."""
    variant = Variant.objects.filter(pk=attempt.spec["variant_id"]).first()
    if variant is None:
        raise JobFailed("The variant that was to be measured is gone from the inventory.")
    if variant.unusable_reason:
        raise JobFailed(variant.unusable_reason)
    folder = Path(settings.MODELS_DIR) / MEASURING / str(attempt.job.pk)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        with ended_by_the_host(attempt):
            _measure(attempt, variant, best_sibling(variant), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def best_sibling(variant: Variant) -> Variant | None:
    """The variant of the same model that lost least; None where that is this one."""
    base = base_name(variant.name)
    same = Variant.objects.filter(architecture=variant.architecture, n_params=variant.n_params, enabled=True)
    related = [each for each in same if base_name(each.name) == base or each.pk == variant.made_from_id]
    usable = [each for each in related if each.is_usable and variant.n_params is not None]
    best = max([variant, *usable], key=lambda each: (_bits(each), each.pk == variant.pk, -each.pk))
    return None if best.pk == variant.pk else best


def _bits(variant: Variant) -> float:
    kind = QUANTIZATION_TYPES_BY_NAME.get(variant.quantization)
    return kind.tensor_type.bits_per_weight if kind else 0.0


# measuring ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cut:
    """The text as this model's tokens, in windows."""

    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class ScoredText:
    number: int
    path: Path
    """One row of logits for each follower of that window."""


@dataclass(frozen=True, slots=True)
class Speeds:
    decode_tokens_per_second: float | None
    prefill_tokens_per_second: float | None


Event = Waiting | Cut | ScoredText | Speeds
Role = Literal["reference", "variant"]


def _measure(attempt: Attempt, variant: Variant, reference: Variant | None, folder: Path) -> None:
    from inference.jobs import perplexity

    kept: dict[int, Path] = {}
    reference_windows: tuple[Window, ...] = ()
    if reference is not None:
        attempt.mention(reference.pk)
        attempt.line(f"Compared with {reference.name}, the best of its siblings here.")
        for event in _events(attempt, reference, folder, "reference"):
            match event:
                case Cut(windows=theirs_cut):
                    reference_windows = theirs_cut
                case ScoredText(number=number, path=path):
                    kept[number] = path
    found = []
    speeds = Speeds(None, None)
    windows: tuple[Window, ...] = ()
    for event in _events(attempt, variant, folder, "variant"):
        match event:
            case Cut(windows=cut):
                windows = cut
                if reference_windows and [each.tokens for each in cut] != [each.tokens for each in reference_windows]:
                    attempt.line("It cuts texts into other tokens than its sibling: only perplexity is measured.")
                    kept.clear()
            case ScoredText(number=number, path=path):
                theirs = _rows(kept[number], windows[number]) if number in kept else None
                found.append(perplexity.compare(_rows(path, windows[number]), windows[number].followers, theirs))
                path.unlink()
            case Speeds():
                speeds = event
    if not found:
        raise JobFailed("The model's context is too short for a window of the text.")
    try:
        score = perplexity.score(found)
    except ValueError as error:
        raise JobFailed(f"{variant.name} cannot be measured: {error}.") from None
    _store(variant, reference if kept else None, score, speeds)


def _rows(path: Path, window: Window) -> Any:
    import numpy as np

    return np.fromfile(path, dtype="<f4").reshape(len(window.followers), -1)


def _events(attempt: Attempt, variant: Variant, folder: Path, role: Role) -> Iterator[Event]:
    """What is heard of one variant's turn. Raises what a job may, too."""
    n_done, n_windows = 0, MOST_WINDOWS
    attempt.mention(variant.pk)
    attempt.progress(0, n_windows, WAITING, waiting(variant))
    for event in ticking(_turn(variant, attempt.job.pk, folder, role)):
        match event:
            case Waiting(event=wait):
                attempt.progress(0, stage=WAITING, about=waiting(variant, wait))
            case Cut(windows=windows):
                n_windows = len(windows)
                attempt.progress(0, n_windows, READING, reading(variant))
            case ScoredText(path=path):
                n_done += 1
                attempt.progress(n_done, n_windows, READING, reading(variant))
                _check_room(folder, path.stat().st_size * (n_windows - n_done if role == "reference" else 1))
        attempt.check()
        if event is not None:
            yield event


def _check_room(folder: Path, to_come: int) -> None:
    room = DiskSpace(free_bytes(folder), to_come, settings.DISK_RESERVE_BYTES)
    if room.lacking_bytes:
        raise Wait(room.sentence(), FULL_DISK_SECONDS)


async def _turn(variant: Variant, job_id: int, folder: Path, role: Role) -> AsyncGenerator[Event, None]:
    """One variant's lease. Touches no database."""
    from inference.jobs.perplexity import windows

    request_id = f"measure-{job_id}-{uuid.uuid4().hex[:8]}"
    client = HostClient(settings.HOST_SOCKET)
    async with client.lease(variant_id=variant.pk, user="measure", kind="batch", request_id=request_id) as lease:
        async with aclosing(waited(lease)) as waiting:
            async for event in waiting:
                yield event
        assert lease.ready is not None
        length = min(WINDOW_TOKENS, lease.ready["n_ctx_seq"])
        tokens = await lease.tokenize(TEXT.read_text(encoding="utf-8"))
        cut = windows(tokens, length, MOST_WINDOWS)
        yield Cut(cut)
        for number, window in enumerate(cut):
            path = folder / f"{role}-{number}.f32"
            path.touch(mode=0o600)
            await lease.score(
                request_id=request_id, owner=request_id, tokens=list(window.tokens), first=window.first, path=str(path)
            )
            yield ScoredText(number, path)
        if role == "variant":
            yield await _speeds(lease, request_id, length)


async def _speeds(lease: Any, request_id: str, length: int) -> Speeds:
    """Measures the speeds of one answer: reading a prompt, and writing on."""
    text = TEXT.read_text(encoding="utf-8")
    options = GenerationOptions(max_tokens=SPEED_TOKENS, temperature=0.0)
    async with aclosing(
        lease.generate(request_id=request_id, owner=f"{request_id}-speed", options=options, prompt=text[: 2 * length])
    ) as answer:
        async for event in answer:
            if event["type"] == "done":
                timings = event["timings"]
                return Speeds(
                    _rate(timings["predicted_n"] - 1, timings["predicted_ms"]),
                    _rate(timings["prompt_n"], timings["prompt_ms"]),
                )
    return Speeds(None, None)


def _rate(count: int, milliseconds: float) -> float | None:
    return count * 1000 / milliseconds if count > 0 and milliseconds > 0 else None


def _store(variant: Variant, reference: Variant | None, score: Any, speeds: Speeds) -> None:
    load = variant.measurements.order_by("-updated_at").first()
    Quality.objects.update_or_create(
        variant=variant,
        defaults={
            "text": TEXT_NAME,
            "n_tokens": score.n_tokens,
            "perplexity": score.perplexity,
            "perplexity_error": score.perplexity_error,
            "reference": reference,
            "reference_name": reference.name if reference else "",
            "kl_divergence": score.kl_divergence,
            "kl_error": score.kl_error,
            "same_top": score.same_top,
            "decode_tokens_per_second": speeds.decode_tokens_per_second,
            "prefill_tokens_per_second": speeds.prefill_tokens_per_second,
            "load_seconds": load.load_seconds if load else None,
            "fingerprint": load.fingerprint if load else "",
            "engine_version": _engine_version(),
        },
    )


def _engine_version() -> str:
    from importlib import metadata

    return metadata.version("llama-cpp-python")
