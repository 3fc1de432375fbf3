"""Reads files for what a Variant row says of them: whether they load, their facts, a readable name.

Reads the disk, not the database.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models_app.gguf import BadGguf, Header, ShardName, combine, read_header, shard_paths
from models_app.gguf.quantization import named_in
from models_app.memory import kv_bytes_per_token

_LONGEST_PATH = 4096
_LONGEST_READABLE = 180
_MOST_TAGS = 32
_NOT_MODELS = {
    "adapter": "an adapter, which needs the model it was made for",
    "mmproj": "a vision or audio projector, which needs the model it was made for",
    "imatrix": "an importance matrix for quantizing",
    "vocab": "a bare vocabulary",
}
_SAYS_NOTHING = re.compile(r"(ggml[-_.])?(model|weights|gguf|main|output|unsloth|consolidated|[0-9a-f]{12,})", re.I)
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class NotAModel(ValueError):
    """A sound GGUF that cannot be loaded on its own. The message is a phrase for a person."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    path: Path
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class VariantFiles:
    """The files of one variant, in order, and the header they have together."""

    files: tuple[FileFacts, ...]
    header: Header

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def read_variant(path: Path) -> VariantFiles:
    """Reads the header of the variant that `path`, any of its files, belongs to.

    Blocks on the disk. Raises BadGguf, NotAModel, and OSError where a file is missing or unreadable.
    """
    files, headers = [], []
    for shard in shard_paths(Path(os.path.abspath(path))):
        if len(os.fsencode(shard)) > _LONGEST_PATH or not is_text(str(shard)):
            raise NotAModel("its path is too long or not valid UTF-8: rename it")
        # To open a pipe would wait for whoever writes into it.
        if not stat.S_ISREG(kind := os.stat(shard).st_mode) and not stat.S_ISDIR(kind):
            raise NotAModel("it is no ordinary file")
        with shard.open("rb") as file:
            now = os.fstat(file.fileno())
            files.append(FileFacts(shard, now.st_size, now.st_mtime_ns))
            headers.append(read_header(file, now.st_size))
    header = combine(headers)
    check_loadable(header)
    return VariantFiles(tuple(files), header)


def check_loadable(header: Header) -> None:
    """Raises NotAModel for a sound file that cannot be loaded on its own."""
    kind = header.type
    if kind in _NOT_MODELS or header.architecture == "clip":
        raise NotAModel(f"it is {_NOT_MODELS.get(kind or '', _NOT_MODELS['mmproj'])}")
    if header.architecture is None:
        raise NotAModel("its header names no architecture")
    if not header.tensors:
        raise NotAModel("it holds no tensors, only a vocabulary")


def is_text(path: str) -> bool:
    """Whether a database can hold it: names of files are bytes, and need not be UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in path


def shown(path: Path | str) -> str:
    """A path, or a name, for people and JSON: what is not UTF-8 in it becomes U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def variant_columns(found: VariantFiles) -> dict[str, Any]:
    """The fact columns of a Variant, cut to what they hold: a header is hostile input."""
    header = found.header
    return {
        "quantization": _text(_quantization(found), 40),
        "architecture": _text(header.architecture, 80),
        "n_params": _bounded(header.n_params, 63),
        "n_ctx_train": _bounded(header.n_ctx_train, 31),
        "n_layers": _bounded(header.n_layers, 31),
        "has_chat_template": bool(header.chat_template),
        "size_bytes": found.size_bytes,
        "kv_bytes_per_token": _bounded(kv_bytes_per_token(header), 63),
        "licence": _text(header.licence, 80),
        "tags": [_text(tag, 80) for tag in header.tags[:_MOST_TAGS]],
    }


def _text(value: str | None, longest: int) -> str:
    return (value or "").replace("\0", "")[:longest]


def _bounded(value: int | None, bits: int) -> int | None:
    return value if value is not None and value < 1 << bits else None


def _stem(found: VariantFiles) -> str:
    name = found.files[0].path.name
    shard = ShardName.parse(name)
    return shard.stem if shard else re.sub(r"(?i)\.gguf$", "", name)


def _quantization(found: VariantFiles) -> str:
    """File names know mixtures that headers have no number for, such as UD-Q4_K_XL."""
    return named_in(_stem(found)) or found.header.quantization or ""


def readable_name(found: VariantFiles) -> str:
    """A name such as SmolLM2-135M-Instruct-Q4_1: letters, digits, dots, dashes and underscores.

    From the file's name; from the header's where the file's says nothing ("model.gguf").
    """
    quantization = _quantization(found)
    stem = _stem(found)
    named = named_in(stem)
    if named:
        stem = re.sub(re.escape(named).replace("F16", "F(?:P)?16").replace("F32", "F(?:P)?32"), "", stem, flags=re.I)
    base = _fit(stem)
    if not base or _SAYS_NOTHING.fullmatch(base):
        header = found.header
        base = _fit(header.name or "") or base or "model"
        if header.size_label and header.size_label.lower() not in base.lower():
            base = f"{base}-{_fit(header.size_label)}"
    suffix = f"-{_fit(quantization)}" if quantization else ""
    return base[: _LONGEST_READABLE - len(suffix)] + suffix


def _fit(text: str) -> str:
    return re.sub(r"[-.]{2,}", "-", _UNFIT.sub("-", text)).strip("-._")


def explain(error: BadGguf | NotAModel | OSError) -> str:
    """What is wrong with the files, as a phrase without a full stop."""
    if isinstance(error, FileNotFoundError):
        return f"the file {Path(error.filename or '').name} is missing"
    if isinstance(error, IsADirectoryError):
        return "it is a folder, not a file"
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    return str(error)
