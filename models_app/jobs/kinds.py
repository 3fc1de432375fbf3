"""What kinds of job there are, and the code of each. Applications register theirs in AppConfig.ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from models_app.jobs.attempt import Attempt
    from models_app.models import Job

Run = Callable[["Attempt"], None]
Discard = Callable[["Job"], None]


@dataclass(frozen=True, slots=True)
class JobKind:
    """`run` does one attempt, from where `attempt.kept` says the last one came to. `discard` removes what a cancelled job left.

    Both may be dotted paths: their modules are then imported by the first job that needs them, and not by every process.
    """

    name: str
    run: Run | str
    at_once: int
    discard: Discard | str | None

    def load_run(self) -> Run:
        return import_string(self.run) if isinstance(self.run, str) else self.run

    def load_discard(self) -> Discard | None:
        return import_string(self.discard) if isinstance(self.discard, str) else self.discard


_kinds: dict[str, JobKind] = {}


def register(name: str, run: Run | str, at_once: int = 1, discard: Discard | str | None = None) -> None:
    """Registering a name again replaces it. `at_once`: attempts of this kind that one jobs process runs side by side."""
    _kinds[name] = JobKind(name, run, at_once, discard)


def kind_named(name: str) -> JobKind | None:
    return _kinds.get(name)


def names() -> list[str]:
    return sorted(_kinds)


def forget(name: str) -> None:
    _kinds.pop(name, None)
