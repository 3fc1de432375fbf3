"""Serves FOLDER/owner/name/… as Hub repositories until its standard input ends; prints the endpoint first."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.hub import Latency, running_hub


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    parser.add_argument("--no-digests", action="store_true", help="make them up: large files are not read through")
    options = parser.parse_args()
    with running_hub(port=options.port) as hub:
        if options.latency_seconds:
            hub.faults.add(Latency(seconds=options.latency_seconds))
        for folder in sorted(path for path in options.folder.glob("*/*") if path.is_dir()):
            files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
            digests = {path: f"{number:064x}" for number, path in enumerate(files)} if options.no_digests else None
            hub.add(str(folder.relative_to(options.folder)), files, digests)
        print(hub.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
