"""Prepares a box of which only the host will run; `python -m tests.bench.host_setup` in the box's environment.

Reads one JSON line: `variants`, each with its file's `path`, a `name` and fields of its row, and `gpu_budget`, an amount for each GPU.
Prints the host's socket and the variants' ids as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import django


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from inference.host.planning.device_detection import detect_devices
    from inference.host.workers.environment import worker_environment
    from models_app.catalog.register import add_model
    from models_app.machines.this_machine_row import this_machine
    from models_app.models import Variant

    wanted = json.loads(sys.stdin.readline())
    call_command("migrate", verbosity=0)
    ids: dict[str, int] = {}
    for row in wanted["variants"]:
        path, name = row.pop("path"), row.pop("name")
        added = add_model(Path(path), name=name)
        Variant.objects.filter(pk=added.variant.pk).update(**row)
        ids[name] = added.variant.pk
    if wanted["gpu_budget"] is not None:
        asyncio.run(detect_devices(settings.RPC_SERVERS, worker_environment(os.environ)))
        machine = this_machine()
        machine.gpus = [{**gpu, "budget": wanted["gpu_budget"]} for gpu in machine.gpus]
        machine.save()
    print(json.dumps({"host_socket": settings.HOST_SOCKET, "variants": ids}))


if __name__ == "__main__":
    main()
