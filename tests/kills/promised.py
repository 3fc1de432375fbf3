"""What is to come of each order, known before it is given: the only files that may ever bear a model's name."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inference.core.planning.recipe import Recipe
from inference.engine.tools import quantize
from models_app.intake.spec import file_names
from tests.gguf_builder import SHAPES, build


@dataclass(frozen=True, slots=True)
class File:
    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def like(cls, path: Path, name: str) -> File:
        content = path.read_bytes()
        return cls(name, len(content), hashlib.sha256(content).hexdigest())


class Promised:
    """By the variant's name. Written by who orders, read by who checks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._variants: dict[str, tuple[File, ...]] = {}
        self._files: dict[str, File] = {}

    def add(self, name: str, files: Iterable[File]) -> None:
        with self._lock:
            self._variants[name] = tuple(files)
            self._files |= {file.name: file for file in self._variants[name]}

    def variant(self, name: str) -> tuple[File, ...] | None:
        with self._lock:
            return self._variants.get(name)

    def file(self, name: str) -> File | None:
        with self._lock:
            return self._files.get(name)

    def file_names(self) -> set[str]:
        with self._lock:
            return set(self._files)

    def names(self) -> set[str]:
        with self._lock:
            return set(self._variants)


def remote_model(folder: Path, number: int, padding_bytes: int) -> list[Path]:
    """A model of one to three files, like no other, each with so many more bytes than it needs."""
    split = 1 + number % 3
    first = build(folder / f"m{number}.gguf", SHAPES["tiny-gqa"], body="random", split=split, seed=number)
    files = sorted(first.parent.glob(f"m{number}*.gguf")) if split > 1 else [first]
    for path in files:
        with path.open("ab") as file:
            file.write(os.urandom(padding_bytes))
    return files


def downloaded(name: str, files: list[Path]) -> list[File]:
    return [File.like(path, own) for path, own in zip(files, file_names(name, len(files)), strict=True)]


def requantized(source: Path, type_name: str, folder: Path) -> Path:
    """Made here and now, with nobody disturbing it."""
    made = folder / f"undisturbed-{type_name}.gguf"
    for _ in quantize.quantize(source, made, Recipe(type_name), os.environ):
        pass
    return made
