"""Prompts for the benchmarks: distinct, of nearly equal length, so that nothing is served from an earlier request's cache."""

from __future__ import annotations

_TOWNS = ("Avebury", "Bergen", "Cork", "Delft", "Evora", "Fano", "Ghent", "Haarlem", "Ivrea", "Jena", "Kiel", "Lund")
_TRADES = ("baker", "clockmaker", "gardener", "ferryman", "printer", "weaver", "potter", "glazier", "miller", "tanner")


def story(number: int) -> str:
    """The beginning of a story to continue."""
    return (
        f"{_TOWNS[number % 12]}, in the year {1500 + number}. The {_TRADES[number % 10]} of this old town opened the door"
        " early in the morning and saw something on the road that nobody had seen before. It was"
    )


def question(number: int) -> str:
    """A question to put to a chat model."""
    return (
        f"Case {1500 + number}: tell me a long story about the {_TRADES[number % 10]} of {_TOWNS[number % 12]}"
        " who found a map in an old book and followed it through the hills."
    )
