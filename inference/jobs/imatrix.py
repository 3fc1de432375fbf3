"""The kind `imatrix`: an importance matrix of a variant, for quantizing it, computed by a child process on the processor."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from inference.engine.quantizing import QuantizeFailed, make_imatrix
from inference.texts import TEXT
from models_app.job import Job
from models_app.jobs import Failed, Running
from models_app.models import Variant

FOLDER = "imatrix"


def imatrix_path(variant_name: str) -> Path:
    return Path(settings.MODELS_DIR) / FOLDER / f"{variant_name}.imatrix.gguf"


def run(running: Running) -> None:
    """`running.spec`: `variant_id`, `name` of the file, and `text`, a path; None: the shipped text. Begins anew after any end."""
    variant = Variant.objects.filter(pk=running.spec["variant_id"]).first()
    if variant is None:
        raise Failed("The variant whose importance matrix was wished for is gone from the inventory.")
    shard = variant.shards.order_by("number").first()
    if shard is None or variant.trouble:
        raise Failed(variant.trouble or f"{variant.name} has no files.")
    target = imatrix_path(running.spec["name"])
    part = _part(target)
    text = Path(running.spec["text"]) if running.spec.get("text") else TEXT
    running.progress(0, stage=f"Opening {variant.name}")
    events = make_imatrix(Path(shard.path), part, text, os.environ)
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for event in events:
            if event is None:
                running.check()
            else:
                running.progress(*event, stage=f"Reading {text.name}")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.rename(target)
    except QuantizeFailed as failed:
        raise Failed(failed.detail) from None
    except OSError as error:
        raise Failed(f"{error.filename or target} could not be written: {error.strerror or error}.") from None
    finally:
        events.close()
        part.unlink(missing_ok=True)
    running.line(f"Written to {target}.")
    running.made(variant)


def discard(job: Job) -> None:
    _part(imatrix_path(job.spec["name"])).unlink(missing_ok=True)


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")
