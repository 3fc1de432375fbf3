"""Names of files in a repository, read as the hostile input they are, and the variants that they make together. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models_app.gguf import ShardName
from models_app.gguf.quantization import named_in

LONGEST_PATH_BYTES = 1024
LONGEST_NAME_BYTES = 255
MOST_SHARDS = 1024
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.I)
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_LOCAL_NAME = 180
_NOT_MODELS = (
    (re.compile(r"mmproj", re.I), "a vision or audio projector, which needs the model it was made for"),
    (re.compile(r"imatrix", re.I), "an importance matrix for quantizing"),
    (re.compile(r"(^|[-_.])lora([-_.]|$)", re.I), "an adapter, which needs the model it was made for"),
)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository, as the Hub's record has it."""

    path: str
    size_bytes: int
    sha256: str | None
    """None: the Hub keeps small files without a digest."""


@dataclass(frozen=True, slots=True)
class RemoteVariant:
    """One loadable quantization in a repository: one GGUF file, or all shards of one."""

    key: str
    """Of the repository: the path, of a split one without the shard's number."""
    quantization: str | None
    """From the file's name: the header is not read yet."""
    files: tuple[RemoteFile, ...]
    """In the order of the shards."""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def is_verifiable(self) -> bool:
        """Whether the Hub has a digest of every file."""
        return all(file.sha256 for file in self.files)


@dataclass(frozen=True, slots=True)
class RefusedFiles:
    """GGUF files that are not offered. `reason` is a phrase for a person."""

    paths: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Contents:
    variants: tuple[RemoteVariant, ...]
    """Smallest first."""
    others: tuple[RefusedFiles, ...]
    """Sound GGUF files that cannot be loaded on their own."""
    refused: tuple[RefusedFiles, ...]


def fault(path: str) -> str | None:
    """Why a file of that name is not taken, as a phrase; None where nothing speaks against it.

    Strict on purpose: no name is ever used on this disk as it comes, yet who sends such names is not to be trusted with more.
    """
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "the name is not valid text"
    if not path or any(unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") for letter in path):
        return "the name is empty or has invisible characters"
    if path.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", path):
        return "the name is an absolute path"
    if "\\" in path:
        return "the name has a backslash"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "the name climbs out of the repository"
    if len(raw) > LONGEST_PATH_BYTES or any(len(part.encode()) > LONGEST_NAME_BYTES for part in parts):
        return "the name is too long"
    if any(_RESERVED.fullmatch(part.partition(".")[0].strip()) for part in parts):
        return "the name is reserved by an operating system"
    if any(part != part.rstrip(". ") or part != part.lstrip(" ") for part in parts):
        return "the name begins or ends with a blank or a dot"
    if any(letter in '<>:"|?*' for letter in path):
        return "the name has a character that some file systems forbid"
    return None


def contents(files: Iterable[RemoteFile]) -> Contents:
    """The variants among `files`, shards folded into one; everything else that ends in .gguf, with the reason."""
    ggufs = [file for file in files if file.path.lower().endswith(".gguf")]
    seen = Counter(_folded(file.path) for file in ggufs)
    refused: list[RefusedFiles] = []
    others: list[RefusedFiles] = []
    groups: dict[str, list[RemoteFile]] = {}
    for file in ggufs:
        reason = fault(file.path)
        if reason is None and seen[_folded(file.path)] > 1:
            reason = "another file has the same name but for capitals or accents"
        if reason is not None:
            refused.append(RefusedFiles((file.path,), reason))
        elif (kind := _not_a_model(file.path)) is not None:
            others.append(RefusedFiles((file.path,), kind))
        else:
            groups.setdefault(_key(file.path), []).append(file)
    variants = []
    for key, group in groups.items():
        ordered = sorted(group, key=lambda file: file.path)
        if (reason := _incomplete(ordered)) is not None:
            refused.append(RefusedFiles(tuple(file.path for file in ordered), reason))
        else:
            variants.append(RemoteVariant(key, quantization_of(key), tuple(ordered)))
    variants.sort(key=lambda variant: (variant.size_bytes, variant.key))
    return Contents(tuple(variants), tuple(others), tuple(refused))


def quantization_of(key: str) -> str | None:
    """The quantization that a variant's name tells, the folder's where the file's says nothing."""
    folder, _, name = key.rpartition("/")
    return named_in(name) or named_in(folder.rpartition("/")[2])


def local_name(repository: str, key: str) -> str:
    """What the variant is to be called here: fit for models_app.models.validate_variant_name, and not yet unique.

    The file's own name, with the repository's where it does not tell the model ("Q4_K_M/model.gguf").
    """
    base = _fit(re.sub(r"(?i)\.gguf$", "", key.rpartition("/")[2]))
    model = _fit(re.sub(r"(?i)[-_.]?gguf$", "", repository.partition("/")[2]))
    quantization = quantization_of(key)
    words = re.sub(re.escape(quantization or "\0"), "", base, flags=re.I).strip("-._").lower()
    if words in ("", "model", "ggml-model", "weights", "main"):
        base = f"{model}-{quantization}" if quantization else model
    return base[:_LONGEST_LOCAL_NAME].rstrip("-._") or "model"


def _fit(text: str) -> str:
    return re.sub(r"[-.]{2,}", "-", _UNFIT.sub("-", text)).strip("-._")


def _folded(path: str) -> str:
    """Equal for names that some file system takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _not_a_model(path: str) -> str | None:
    name = path.rpartition("/")[2]
    return next((words for pattern, words in _NOT_MODELS if pattern.search(name)), None)


def _key(path: str) -> str:
    """The same for all shards of one variant."""
    folder, slash, name = path.rpartition("/")
    shard = ShardName.parse(name)
    return path if shard is None else f"{folder}{slash}{shard.stem}.gguf"


def _incomplete(ordered: Sequence[RemoteFile]) -> str | None:
    names = [ShardName.parse(file.path.rpartition("/")[2]) for file in ordered]
    shards = [name for name in names if name is not None]
    if not shards:
        return None
    if len(shards) < len(names) or len({shard.count for shard in shards}) > 1:
        return "a whole file and shards of the same name, or shards of different splits, are there"
    count = shards[0].count
    if count > MOST_SHARDS:
        return f"it is split into {count} files; more than {MOST_SHARDS} are not taken"
    missing = sorted(set(range(1, count + 1)) - {shard.number for shard in shards})
    if missing:
        numbers = ", ".join(str(number) for number in missing[:5])
        return f"of its {count} files number {numbers}{' …' if len(missing) > 5 else ''} is missing"
    return None
