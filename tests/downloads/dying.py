"""Jobs processes that are killed at random. Run as a program: it owns a box of its own, and forks each jobs process off
itself, so that a life costs milliseconds.

Reads one JSON line: {"endpoint", "repositories", "rounds", "seed", "longest_seconds"}. Prints one: see `Told`.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import TYPE_CHECKING, TypedDict

from tests.kills import lives

if TYPE_CHECKING:
    from models_app.models import Job


class Told(TypedDict):
    rounds: int
    """Lives that were ended by SIGKILL."""
    with_two: int
    """Of those, rounds in which a second process took the first for dead."""
    in_the_middle: int
    """Rounds that left a `.part` behind."""
    jobs: int
    states: dict[str, int]
    variants: list[tuple[str, list[str]]]
    """Repository and files of each that is listed."""
    listed_too_early: int
    """Variants seen after a round whose files were not all there."""


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    os.environ["HF_ENDPOINT"] = asked["endpoint"]
    os.environ["DJANGO_SETTINGS_MODULE"] = "hostui.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    import models_app.hub.session  # noqa: F401  imported once, for all that are forked

    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    settings.DISK_RESERVE_BYTES = 0
    call_command("migrate", verbosity=0)
    chance = random.Random(asked["seed"])
    waiting = list(asked["repositories"])
    told: Told = {
        "rounds": 0,
        "with_two": 0,
        "in_the_middle": 0,
        "jobs": 0,
        "states": {},
        "variants": [],
        "listed_too_early": 0,
    }
    while told["rounds"] < asked["rounds"]:
        if waiting and lives.n_active() < 3:
            _start(waiting.pop())
        connections.close_all()
        begun = [lives.begin(_afresh) for _ in range(2 if chance.random() < 0.2 else 1)]
        told["with_two"] += len(begun) == 2
        for life in begun:
            lives.end(life, chance.uniform(0, asked["longest_seconds"]) / len(begun))
        told["rounds"] += len(begun)
        told["in_the_middle"] += any(settings.MODELS_DIR.glob("*.part"))
        told["listed_too_early"] += _listed_too_early()
        if not waiting and not lives.n_active():
            break
    for repository in waiting:
        _start(repository)
    lives.until_nothing_is_left(_afresh)
    _report(told)
    print(json.dumps(told), flush=True)


def _start(repository: str) -> None:
    from models_app.hub import hub
    from models_app.intake.start_download import start_download

    found = hub().repository(repository)
    files = sorted(found.files, key=lambda file: file.path)
    start_download(repository, found.revision, repository.replace("/", "-"), files)


def _afresh() -> None:
    """A forked client's connections are its parent's, too."""
    from huggingface_hub.utils import close_session

    close_session()


def _listed_too_early() -> int:
    from django.conf import settings

    from models_app.intake.scan import scan_models
    from models_app.models import Shard

    # Whatever lies there as a whole file may be found by a scan at any moment.
    scan_models(settings.MODELS_DIR)
    return sum(not os.path.exists(path) for path in Shard.objects.values_list("path", flat=True))


def _report(told: Told) -> None:
    from collections import Counter

    from models_app.models import Variant

    told["jobs"] = len(_all_jobs())
    told["states"] = dict(Counter(job.state for job in _all_jobs()))
    told["variants"] = [
        (variant.repository.name, [shard.path for shard in variant.shards.order_by("number")])
        for variant in Variant.objects.select_related("repository")
    ]


def _all_jobs() -> list[Job]:
    from models_app.models import Job

    return list(Job.objects.all())


if __name__ == "__main__":
    main()
