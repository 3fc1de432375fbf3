"""Words with a fixed set of values that the host, its workers and everybody who asks them share."""

from __future__ import annotations

from typing import Literal

LeaseKind = Literal["interactive", "batch"]
"""`interactive`: a person waits for the answer, and goes before `batch`."""

ResidencyState = Literal["absent", "loading", "resident", "draining", "unloading", "failed"]

FailureReason = Literal[
    "bad_file", "unsupported", "out_of_memory", "killed", "timed_out", "hung", "crashed", "bad_options"
]
"""Why a worker ended that should not have."""
