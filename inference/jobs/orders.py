"""What a requantization is to make: the spec of its job, which never changes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.core.planning.recipe import Recipe
from models_app.gguf.quantization import named_in


@dataclass(frozen=True, slots=True)
class Order:
    source_id: int
    """The variant to make it of."""
    name: str
    """Of the variant to be made, and of its files."""
    recipe: Recipe
    imatrix: str | None = None
    """A path."""
    n_threads: int | None = None
    """None: one a physical core."""

    def to_json(self) -> dict[str, Any]:
        return {
            "source_id": self.source_id,
            "name": self.name,
            "recipe": self.recipe.to_json(),
            "imatrix": self.imatrix,
            "n_threads": self.n_threads,
        }

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> Order:
        """The order that `to_json` wrote down."""
        return cls(
            spec["source_id"], spec["name"], Recipe.from_json(spec["recipe"]), spec["imatrix"], spec["n_threads"]
        )


def base_name(source: str) -> str:
    """A variant's name without its quantization type: `SmolLM2-135M` for `SmolLM2-135M-Q4_1` and for `SmolLM2-135M-Q4_1-2`."""
    found = named_in(source)
    if found is None:
        return source
    return (
        re.sub(rf"[-._]{re.escape(found)}(?=[-._]|$)(-\d+$)?", "", source, flags=re.IGNORECASE).strip("-._") or source
    )


def proposed_name(source: str, recipe: Recipe) -> str:
    """What the variant that comes of it is called unless its maker calls it otherwise."""
    suffix = f"-{recipe.type}{'-pure' if recipe.pure else ''}"
    return base_name(source)[: 180 - len(suffix)] + suffix
