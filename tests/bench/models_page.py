"""The inventory's page with 500 variants: from the request to the last byte, through daphne, on a box that does nothing else.

Plans are worked out before the clock runs, as they are after a first visit; what that first visit costs, before any is known, is told
beside it. The page is the same either way but for the plans that come in later.
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from statistics import median

import httpx

from tests.bench import box
from tests.bench.quiet import Quiet
from tests.bench.report import Report
from tests.bench.results import Row, Side, Target

FULL_ROUNDS = 15
N_VARIANTS = 500
MOST_MS = 200.0
PLANS_AT_ONCE = 32
SHAPES = ("llama-8b", "llama-70b", "qwen3-30b-a3b", "tiny-gqa")

_FILL = f"""
import json
from pathlib import Path
from django.conf import settings
from models_app.catalog.register import add_model
from models_app.models import Shard, Variant
from tests.gguf_builder import SHAPES, build
folder = Path(settings.MODELS_DIR)
folder.mkdir(parents=True, exist_ok=True)
types = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS")
made = [add_model(build(folder / f"{{shape}}-{{type}}.gguf", SHAPES[shape], quantization=type)).variant
        for shape in {SHAPES!r} for type in types]
rows = []
for number in range({N_VARIANTS} - Variant.objects.count()):
    like = made[number % len(made)]
    rows.append(Variant(**{{field.name: getattr(like, field.name) for field in Variant._meta.concrete_fields if field.name != "id"}}))
    rows[-1].name = f"{{like.name}}-{{number}}"
variants = Variant.objects.bulk_create(rows)
shards = []
for number, variant in enumerate(variants):
    shard = made[number % len(made)].shards.get()
    path = folder / f"{{variant.name}}.gguf"
    path.hardlink_to(shard.path)
    shards.append(Shard(variant=variant, path=str(path), size_bytes=shard.size_bytes, mtime_ns=shard.mtime_ns))
Shard.objects.bulk_create(shards)
print(json.dumps(list(Variant.objects.values_list("pk", flat=True))))
"""


@dataclass(frozen=True, slots=True)
class Shown:
    milliseconds: float
    n_bytes: int


def _show(client: httpx.Client) -> Shown:
    began = time.perf_counter()
    answer = client.get("/models/")
    shown = Shown(1e3 * (time.perf_counter() - began), len(answer.content))
    rows = answer.text.count("data-variant=")
    if rows != N_VARIANTS:
        raise box.BoxFailed(f"the page has {rows} variants, expected {N_VARIANTS}")
    return shown


def _work_out(client: httpx.Client, ids: list[int]) -> float:
    """Milliseconds until every plan is known, asked for as the page does."""
    began = time.perf_counter()
    left = list(ids)
    while left:
        found = client.get("/models/plans.json", params={"ids": ",".join(map(str, left[:PLANS_AT_ONCE]))}).json()
        if not found:
            raise box.BoxFailed("no plan came")
        left = [each for each in left if str(each) not in found]
    return 1e3 * (time.perf_counter() - began)


def measure(rounds: int, quiet: Quiet) -> Report:
    """Blocks for about half a minute."""
    with box.running_box() as stack, closing(stack.login(stack.admin)) as client:
        ids = json.loads(stack.manage("shell", "-v", "0", "-c", _FILL).splitlines()[-1])
        first = _show(client)
        plans_ms = _work_out(client, ids)
        _show(client)
        shown = [quiet.measure(partial(_show, client)) for _ in range(rounds)]
    return Report(
        benchmark="models-page",
        title=f"The inventory with {N_VARIANTS} variants",
        rounds=rounds,
        conditions={"variants": N_VARIANTS, "plans": "known"},
        rows=[
            Row(
                name="the list page, to its last byte",
                unit="ms",
                ours=Side("hostui", tuple(each.milliseconds for each in shown)),
                theirs=None,
                comparison="value",
                target=Target("at most", MOST_MS),
            )
        ],
        details={
            "page_bytes": median(each.n_bytes for each in shown),
            "first_visit_milliseconds": round(first.milliseconds, 1),
            "all_plans_milliseconds": round(plans_ms, 1),
        },
    )
