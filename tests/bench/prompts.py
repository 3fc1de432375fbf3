"""Prompts for the benchmarks: all different early on, so that little of one is found in another's cache, and all of the same length.

Only the digits of a number differ; tokenizers of today take digits one by one or in fixed groups.
"""

from __future__ import annotations


def _number(number: int) -> int:
    """Six digits that differ from the first on, between one number and the next."""
    return 100_000 + number * 479_001 % 900_000


def story(number: int) -> str:
    """The beginning of a story to continue."""
    return (
        f"Log entry {_number(number)}. The ferryman of this old town opened the door early in the morning and saw something"
        " on the river that nobody had seen before. It was"
    )


def question(number: int) -> str:
    """A question to put to a chat model."""
    return (
        f"Case {_number(number)}: tell me a long story about the clockmaker who found a map in an old book and followed it"
        " through the hills."
    )
