"""How many examples Hypothesis tries: the profiles dev, ci and nightly, and each property's own number in proportion.

`make quick` takes dev, `make test` ci; `make test ARGS=--hypothesis-profile=nightly` looks ten times as long.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings

EXAMPLES = {"dev": 10, "ci": 100, "nightly": 1000}
"""Of a property that names no number of its own."""


def register_profiles() -> None:
    """Makes the profiles known and ci the one in force, until `--hypothesis-profile` chooses another."""
    plain = settings.get_profile("default")
    for name, max_examples in EXAMPLES.items():
        # Without a deadline: a busy machine is no counterexample. What has to be quick is measured by tests of its own, in CPU time.
        settings.register_profile(name, plain, max_examples=max_examples, deadline=None)
    settings.load_profile("ci")


def examples(number: int, **options: Any) -> settings:
    """Settings with so many examples under ci, a tenth under dev, ten times as many under nightly."""
    in_force = settings.get_current_profile_name()
    scaled = max(1, number * EXAMPLES[in_force] // EXAMPLES["ci"])
    return settings(max_examples=scaled, **options)
