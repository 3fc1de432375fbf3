"""A real box: a job takes a lease of a worker that reads, an importance matrix comes of it, and nothing stays in memory."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from inference.core.planning.recipe import Recipe
from inference.host.api.client import HostClient
from inference.host.api.messages import HostStatus
from inference.jobs.orders import Order
from models_app.gguf import read_files
from tests.gguf_builder import SHAPES, build
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.live

PATIENCE_SECONDS = 240.0
WORDS = "a be ca do ed fi go hi it jo ki la me no or pi qu re so ta un vi we xi yo za "


def rows(stack: Stack, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{stack.data_dir / 'hostui.sqlite3'}?mode=ro", uri=True)) as database:
        return list(database.execute(query))


def start_job(stack: Stack, kind: str, spec: dict[str, Any]) -> int:
    code = f"from models_app import jobs; print(jobs.start({kind!r}, {spec!r}, 'A test').pk)"
    return int(stack.manage("shell", "-v", "0", "-c", code).split()[-1])


def start(stack: Stack, variant_id: int, name: str, text: Path) -> int:
    return start_job(stack, "imatrix", {"variant_id": variant_id, "name": name, "text": str(text)})


def job(stack: Stack, pk: int) -> tuple[str, str, int, int | None]:
    """State, stage, chunks done and how many there are."""
    ((state, stage, done, total),) = rows(
        stack,
        f"SELECT state, stage, done, total FROM models_app_job WHERE id = {pk}",  # noqa: S608
    )
    return state, stage, done, total


def status(stack: Stack) -> HostStatus:
    return asyncio.run(HostClient(str(stack.data_dir / "run" / "host.sock")).status())


def reading(stack: Stack) -> int | None:
    """The process of the worker that reads, once it does."""
    return next((each["pid"] for each in status(stack)["residents"] if each["slots_busy"]), None)


def own_variant(stack: Stack, folder: Path) -> tuple[int, str]:
    """A model of this test's own, so that whoever else uses the box does not matter."""
    model = build(folder / "reads-F16.gguf", SHAPES["tiny-gqa"], quantization="F16", body="random")
    stack.manage("add_model", str(model))
    ((pk, name),) = rows(stack, "SELECT id, name FROM models_app_variant ORDER BY id DESC LIMIT 1")
    return pk, name


def test_a_matrix_is_made_and_its_worker_goes(fresh_stack: Stack, tmp_path: Path) -> None:
    pk, name = own_variant(fresh_stack, tmp_path)
    text = tmp_path / "words.txt"
    text.write_text(WORDS * 60)
    made = start(fresh_stack, pk, name, text)
    wait_for(lambda: job(fresh_stack, made)[0] in ("done", "failed"), "the matrix", PATIENCE_SECONDS)
    state, _, done, total = job(fresh_stack, made)
    assert (state, done) == ("done", total)
    folder = fresh_stack.data_dir / "models" / "imatrix"
    (path,) = folder.iterdir()
    assert path.name == f"{name}.imatrix.gguf"
    header = read_files(path)
    assert header.metadata["imatrix.datasets"] == ("words.txt",)
    assert header.integer("imatrix.chunk_count") == total
    wait_for(lambda: not status(fresh_stack)["residents"], "its worker to go")
    assert rows(fresh_stack, "SELECT COUNT(*) FROM models_app_measurement") == [(0,)]
    log = json.dumps(rows(fresh_stack, f"SELECT text FROM models_app_jobline WHERE job_id = {made}"))  # noqa: S608
    assert "Written to" in log

    # A type that needs a matrix can be made with it.
    order = Order(pk, "reads-IQ2_XXS", Recipe("IQ2_XXS"), str(path)).to_json()
    requantized = start_job(fresh_stack, "requantize", order)
    wait_for(lambda: job(fresh_stack, requantized)[0] in ("done", "failed"), "the requantization", PATIENCE_SECONDS)
    ((recipe,),) = rows(fresh_stack, "SELECT recipe FROM models_app_variant WHERE name = 'reads-IQ2_XXS'")
    assert json.loads(recipe)["imatrix"] == path.name

    # A text that will not do leaves nothing.
    (tmp_path / "short.txt").write_text("too short")
    short = start(fresh_stack, pk, f"{name}-3", tmp_path / "short.txt")
    wait_for(lambda: job(fresh_stack, short)[0] == "failed", "the refusal", PATIENCE_SECONDS)
    ((reason,),) = rows(fresh_stack, f"SELECT reason FROM models_app_job WHERE id = {short}")  # noqa: S608
    assert "at least 512 are needed" in reason
    assert list(folder.iterdir()) == [path]

    # Killed and cancelled in the middle: the first goes on, the second leaves nothing.
    text.write_text(WORDS * 6000)
    second = start(fresh_stack, pk, f"{name}-2", text)
    pid = wait_for(lambda: reading(fresh_stack), "the second to read", PATIENCE_SECONDS)
    psutil.Process(pid).kill()
    again = wait_for(
        lambda: (found := reading(fresh_stack)) != pid and found, "the second to read again", PATIENCE_SECONDS
    )
    assert again
    fresh_stack.manage(
        "shell",
        "-v",
        "0",
        "-c",
        f"from models_app import jobs; from models_app.models import Job; jobs.cancel(Job.objects.get(pk={second}))",
    )
    wait_for(lambda: job(fresh_stack, second)[0] == "cancelled", "the cancellation")
    wait_for(lambda: not status(fresh_stack)["residents"], "its worker to go")
    assert list(folder.iterdir()) == [path]
