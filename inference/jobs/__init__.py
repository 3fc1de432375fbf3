"""Durable jobs that need llama.cpp: requantizing and measuring. The inventory's own kinds are in models_app."""

from __future__ import annotations

from models_app import jobs


def register_kinds() -> None:
    """Each kind's module is imported by the first job that needs it."""
    jobs.register("requantize", "inference.jobs.requantize.run", at_once=1, discard="inference.jobs.requantize.discard")
    # One after the other: each would otherwise measure how fast the other one lets it be.
    jobs.register("measure", "inference.jobs.measure.run", at_once=1)
    jobs.register("imatrix", "inference.jobs.imatrix.run", at_once=1, discard="inference.jobs.imatrix.discard")
