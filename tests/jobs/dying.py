"""Jobs processes that requantize and are killed at random. Run as a program: it owns a box of its own, and forks each jobs
process off itself, so that a life costs milliseconds.

Reads one JSON line: {"source", "jobs", "rounds", "seed", "longest_seconds"}. Prints one: see `Told`.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import TypedDict

from tests.kills import lives

TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K", "IQ4_XS", "F16", "Q5_0")


class Told(TypedDict):
    rounds: int
    """Lives that were ended by SIGKILL."""
    in_the_middle: int
    """Of those, how many left something half made."""
    unsound: list[str]
    """Files that a scan could have found after a round and that were not whole."""
    states: dict[str, int]
    variants: list[str]
    left: list[str]
    """Files of the models' folder that are no variant's, at the end."""


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    os.environ["DJANGO_SETTINGS_MODULE"] = "hostui.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    import inference.jobs.requantize
    from inference.core.planning.recipe import Recipe
    from inference.jobs.orders import Order
    from models_app import jobs
    from models_app.catalog.register import add_model
    from models_app.models import Job, Shard, Variant

    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    settings.DISK_RESERVE_BYTES = 0
    call_command("migrate", verbosity=0)
    folder = Path(settings.MODELS_DIR)
    source = add_model(Path(asked["source"])).variant
    for number in range(asked["jobs"]):
        recipe = Recipe(TYPES[number % len(TYPES)])
        order = Order(source.pk, f"made-{number}-{recipe.type}", recipe, None, 1)
        jobs.start("requantize", order.to_json(), "A test", variant=source)
    chance = random.Random(asked["seed"])
    told: Told = {"rounds": 0, "in_the_middle": 0, "unsound": [], "states": {}, "variants": [], "left": []}

    while told["rounds"] < asked["rounds"] and lives.n_active():
        connections.close_all()
        lives.end(lives.begin(), chance.uniform(0, asked["longest_seconds"]))
        told["rounds"] += 1
        making = folder / inference.jobs.requantize.MAKING
        told["in_the_middle"] += making.is_dir() and any(making.iterdir())
        told["unsound"] += [path.name for path in folder.glob("*.gguf") if not _is_sound(path)]
    lives.until_nothing_is_left()
    told["states"] = dict(Counter(Job.objects.values_list("state", flat=True)))
    told["variants"] = list(Variant.objects.filter(made_from=source).values_list("name", flat=True))
    known = set(Shard.objects.values_list("path", flat=True))
    told["left"] = [str(path) for path in folder.rglob("*") if path.is_file() and str(path) not in known]
    print(json.dumps(told), flush=True)


def _is_sound(path: Path) -> bool:
    from models_app.gguf import BadGguf, read_files

    try:
        return bool(read_files(path).tensors)
    except BadGguf:
        return False


if __name__ == "__main__":
    main()
