"""A real box: a variant is requantized and measured against its better sibling, by jobs that take leases as chats do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from tests.stack import Stack, wait_for

PATIENCE_SECONDS = 240.0


def rows(stack: Stack, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{stack.data_dir / 'hostui.sqlite3'}?mode=ro", uri=True)) as database:
        return list(database.execute(query))


def done(stack: Stack, kind: str, spec: str) -> int:
    """Starts a job and waits for its end; its number."""
    code = f"from models_app import jobs; print(jobs.start({kind!r}, {spec}, 'A test').pk)"
    pk = int(stack.manage("shell", "-v", "0", "-c", code).split()[-1])
    query = f"SELECT state, reason FROM models_app_job WHERE id = {pk}"  # noqa: S608
    wait_for(lambda: rows(stack, query)[0][0] in ("done", "failed"), f"the job {kind}", PATIENCE_SECONDS)
    assert rows(stack, query) == [("done", "")]
    return pk


def test_a_small_variant_is_worse_than_the_one_it_was_made_of(fresh_stack: Stack) -> None:
    ((source, name),) = rows(fresh_stack, "SELECT id, name FROM models_app_variant WHERE origin != 'quantized'")
    made = name.replace("Q4_1", "Q2_K")
    recipe = '{"type": "Q2_K", "output_type": None, "embedding_type": None, "pure": False, "keep_split": False}'
    order = f'{{"source_id": {source}, "name": {made!r}, "recipe": {recipe}, "imatrix": None, "n_threads": None}}'
    done(fresh_stack, "requantize", order)
    ((small,),) = rows(fresh_stack, f"SELECT id FROM models_app_variant WHERE name = '{made}'")  # noqa: S608
    done(fresh_stack, "measure", f'{{"variant_id": {source}}}')
    done(fresh_stack, "measure", f'{{"variant_id": {small}}}')

    columns = "variant_id, n_tokens, perplexity, perplexity_error, kl_divergence, same_top, reference_name"
    found = {row[0]: row[1:] for row in rows(fresh_stack, f"SELECT {columns} FROM models_app_quality")}  # noqa: S608
    n_tokens, perplexity, error, kl, top, reference = found[source]
    assert n_tokens >= 5 * 255
    assert 5 < perplexity < 60
    assert 0 < error < perplexity / 2
    assert (kl, top, reference) == (None, None, "")
    n_tokens, worse, _, kl, top, reference = found[small]
    assert worse > perplexity
    assert 0.05 < kl < 3
    assert 0.3 < top < 0.95
    assert reference == name
    speeds = rows(
        fresh_stack, "SELECT decode_tokens_per_second, prefill_tokens_per_second, load_seconds FROM models_app_quality"
    )
    assert all(value and value > 0 for row in speeds for value in row)
    assert list((fresh_stack.data_dir / "models" / ".measuring").iterdir()) == []
