"""The asking side of `inference.engine.tools.quantize_process`: starts the child, reads its replies, ends it. Loads no llama.cpp."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from inference.core.planning.recipe import Outcome, Recipe

QUANTIZE_ARGV = (sys.executable, "-m", "inference.engine.tools.quantize_process")
LONGEST_LINE = 16 << 20
TICK_SECONDS = 0.5
_PASSED_ON = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "LLAMA_CPP_LIB_PATH",
)
_ROOT = Path(__file__).resolve().parents[3]


class QuantizeFailed(Exception):
    """A child failed. `detail` is a sentence for a person; `disk_full`: room is what is missing."""

    def __init__(self, detail: str, *, disk_full: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.disk_full = disk_full


@dataclass(frozen=True, slots=True)
class Started:
    """The first event, once the source has been read."""

    n_tensors: int
    n_bytes: int
    """Of the source's tensors."""


@dataclass(frozen=True, slots=True)
class AtTensor:
    """llama.cpp begins with a tensor."""

    number: int
    """From 1."""
    name: str
    done_bytes: int
    """Of the source's tensors, before this one."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event."""

    seconds: float


Event = Started | AtTensor | Finished


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What the child may know: how to find programs and libraries. No secrets, no database, and no GPU, which it never uses."""
    passed_on = {name: environment[name] for name in _PASSED_ON if name in environment}
    return {**passed_on, "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "GGML_NO_BACKTRACE": "1"}


class QuantizeChild:
    """Runs one child process for one request. Leaving the block ends it, whatever it does; it ends itself when we do."""

    def __init__(
        self, request: Mapping[str, Any], environment: Mapping[str, str], *, argv: Sequence[str] = QUANTIZE_ARGV
    ) -> None:
        self._what = Path(str(request.get("source") or request.get("path"))).name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=child_environment(environment),
                cwd=_ROOT,
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise QuantizeFailed(f"The process that quantizes could not be started: {error.strerror}.") from None
        self._line = json.dumps(request).encode() + b"\n"
        self._buffer = b""

    def __enter__(self) -> QuantizeChild:
        assert self._process.stdin is not None
        # The pipe stays open: its end would tell the child that we are gone.
        with suppress(BrokenPipeError):
            self._process.stdin.write(self._line)
            self._process.stdin.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def messages(self, tick_seconds: float = TICK_SECONDS) -> Iterator[dict[str, Any] | None]:
        """The child's replies, and None each time it was silent for `tick_seconds`. Raises QuantizeFailed."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                yield self._message(line)
                continue
            if not select.select([descriptor], [], [], tick_seconds)[0]:
                yield None
                continue
            more = os.read(descriptor, 1 << 16)
            if not more:
                return
            self._buffer += more
            if len(self._buffer) > LONGEST_LINE:
                raise QuantizeFailed("The process that quantizes said something without end.")

    def _message(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
            if message["type"] == "failed":
                raise QuantizeFailed(str(message["detail"]), disk_full=bool(message.get("disk_full")))
        except (ValueError, KeyError, TypeError):
            raise QuantizeFailed("The process that quantizes said something that makes no sense.") from None
        return dict(message)

    def ended(self) -> QuantizeFailed:
        """Why there was no answer."""
        code = self._process.wait()
        self._stderr.seek(0, 2)
        self._stderr.seek(max(0, self._stderr.tell() - 4096))
        lines = [line for line in self._stderr.read().decode("utf-8", "replace").splitlines() if line.strip()]
        last = f" Its last words: {lines[-1].strip()[:300]}" if lines else ""
        return QuantizeFailed(f"llama.cpp ended with code {code} in the middle of {self._what}.{last}")


def quantize(
    source: Path,
    target: Path,
    recipe: Recipe,
    environment: Mapping[str, str],
    *,
    imatrix: Path | None = None,
    n_threads: int | None = None,
    argv: Sequence[str] = QUANTIZE_ARGV,
) -> Generator[Event | None, None, None]:
    """Makes `target`, a new file, or the shards of which it is the first. None at least every TICK_SECONDS.

    Closing the iterator kills the child; what it has written stays. The last event is Finished. Raises QuantizeFailed.
    """
    request = {
        "type": "quantize",
        "source": str(source),
        "target": str(target),
        "recipe": recipe.to_json(),
        "imatrix": None if imatrix is None else str(imatrix),
        "n_threads": n_threads,
    }
    with QuantizeChild(request, environment, argv=argv) as child:
        for message in child.messages():
            match None if message is None else message["type"]:
                case None:
                    yield None
                case "started":
                    assert message is not None
                    yield Started(int(message["n_tensors"]), int(message["n_bytes"]))
                case "tensor":
                    assert message is not None
                    yield AtTensor(int(message["number"]), str(message["name"]), int(message["done_bytes"]))
                case "finished":
                    assert message is not None
                    yield Finished(float(message["seconds"]))
                    return
        raise child.ended()


def dry_run(
    source: Path,
    recipes: Sequence[Recipe],
    environment: Mapping[str, str],
    *,
    has_imatrix: bool = False,
    timeout_seconds: float = 60,
    argv: Sequence[str] = QUANTIZE_ARGV,
) -> dict[Recipe, Outcome]:
    """What each recipe would make of `source`, by llama.cpp's own dry run; without those that it refuses. Blocks.

    Raises QuantizeFailed, also when time runs out.
    """
    request = {
        "type": "dry_run",
        "source": str(source),
        "recipes": [recipe.to_json() for recipe in recipes],
        "has_imatrix": has_imatrix,
    }
    until = time.monotonic() + timeout_seconds
    found: dict[Recipe, Outcome] = {}
    with QuantizeChild(request, environment, argv=argv) as child:
        for message in child.messages():
            if time.monotonic() > until:
                raise QuantizeFailed(f"The dry run of {source.name} took longer than {timeout_seconds:.0f} seconds.")
            if message is None:
                continue
            if message["type"] == "finished":
                return found
            if message["type"] == "outcome":
                recipe = recipes[int(message["number"])]
                found[recipe] = Outcome(
                    recipe.type,
                    {str(name): int(kind) for name, kind in message["tensor_types"].items()},
                    bool(message["needs_imatrix"]),
                    int(message["n_fallbacks"]),
                )
        raise child.ended()


def check(path: Path, environment: Mapping[str, str], *, argv: Sequence[str] = QUANTIZE_ARGV) -> Iterator[None]:
    """Decodes one token with the weights left in the file. Ends where that makes sense. Raises QuantizeFailed."""
    with QuantizeChild({"type": "check", "path": str(path)}, environment, argv=argv) as child:
        for message in child.messages():
            if message is not None and message["type"] == "finished":
                return
            yield None
        raise child.ended()
