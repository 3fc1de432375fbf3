"""Local files: one header from one file, or from all the shards of a split one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from models_app.gguf import bounds
from models_app.gguf.errors import BadGguf
from models_app.gguf.header import Header
from models_app.gguf.parser import parse

_BLOCK_BYTES = 1 << 20
_SHARD_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShardName:
    """`stem-00001-of-0000N.gguf`, the only spelling under which llama.cpp finds the other shards."""

    stem: str
    number: int
    """From 1."""
    count: int

    @classmethod
    def parse(cls, file_name: str) -> ShardName | None:
        """None if the name is not that of a shard."""
        match = _SHARD_NAME.fullmatch(file_name)
        if match is None:
            return None
        name = cls(match["stem"], int(match["number"]), int(match["count"]))
        return name if 1 <= name.number <= name.count else None

    def sibling(self, number: int) -> str:
        return f"{self.stem}-{number:05d}-of-{self.count:05d}.gguf"


def read_header(file: BinaryIO, size_bytes: int) -> Header:
    """The header of an open, seekable file of `size_bytes`. Blocks on the disk. Raises BadGguf, OSError."""
    steps = parse(size_bytes)
    try:
        need = next(steps)
        while True:
            file.seek(need.offset)
            need = steps.send(file.read(max(need.n_bytes, _BLOCK_BYTES)))
    except StopIteration as done:
        header: Header = done.value
        return header


def shard_paths(path: Path) -> tuple[Path, ...]:
    """All files that belong to the variant of which `path` is one, by name alone; whether they exist is not asked."""
    name = ShardName.parse(path.name)
    if name is None:
        return (path,)
    return tuple(path.with_name(name.sibling(number)) for number in range(1, name.count + 1))


def read_files(path: Path) -> Header:
    """The header of the variant at `path`: of the file, or of it and its other shards together.

    Blocks on the disk. Raises BadGguf, and OSError where a file is missing or unreadable.
    """
    headers = []
    for shard in shard_paths(path):
        with shard.open("rb") as file:
            headers.append(read_header(file, os.fstat(file.fileno()).st_size))
    return combine(headers)


def combine(headers: Sequence[Header]) -> Header:
    """One header for all shards, given in order, whose numbers are possible. The first shard carries the metadata. Raises BadGguf."""
    whole = _joined(headers)
    bounds.check(whole)
    return whole


def _joined(headers: Sequence[Header]) -> Header:
    first = headers[0]
    expected = first.split_count or 1
    if len(headers) != expected:
        raise BadGguf(f"it is split into {expected} files and {len(headers)} are given", 0)
    if expected == 1:
        return first
    for number, header in enumerate(headers):
        if header.split_no != number or header.split_count != expected:
            raise BadGguf(
                f"shard {number + 1} of {expected} says that it is number {header.split_no} of {header.split_count}", 0
            )
    tensors = tuple(replace(tensor, shard=number) for number, header in enumerate(headers) for tensor in header.tensors)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise BadGguf("the same tensor appears in two shards", 0)
    if first.split_tensors_count is not None and first.split_tensors_count != len(tensors):
        raise BadGguf(f"{first.split_tensors_count} tensors are announced and the shards hold {len(tensors)}", 0)
    return replace(first, size_bytes=sum(header.size_bytes for header in headers), tensors=tensors)
