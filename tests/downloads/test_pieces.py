"""What a download is made of, each by itself."""

from __future__ import annotations

import hashlib
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models_app.hub.names import RemoteFile
from models_app.intake.download_job import trusted_bytes
from models_app.intake.part import Part, PartHeld
from models_app.intake.rate_limiter import RateLimiter
from models_app.intake.space import DiskSpace
from models_app.intake.spec import DownloadSpec, file_names

SPEC = DownloadSpec("o/n", "rev", "name", (RemoteFile("a", 100, "1" * 64), RemoteFile("b", 50, "2" * 64)))


def test_a_spec_survives_its_row() -> None:
    assert DownloadSpec.from_json(SPEC.to_json()) == SPEC


def test_files_are_named_after_the_variant() -> None:
    assert file_names("m", 1) == ("m.gguf",)
    assert file_names("m", 2) == ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf")


def test_all_that_is_there_is_believed_while_the_machine_runs() -> None:
    assert trusted_bytes({}, SPEC, "today") == [100, 50]
    assert trusted_bytes({"boot": "today", "synced": [10, 0]}, SPEC, "today") == [100, 50]


def test_after_a_restart_of_the_machine_only_what_was_synced_is() -> None:
    assert trusted_bytes({"boot": "yesterday", "synced": [10, 500]}, SPEC, "today") == [10, 50]
    assert trusted_bytes({"boot": "yesterday", "synced": [10, 0]}, SPEC, None) == [10, 0]


def test_room_is_what_is_left_beside_the_reserve() -> None:
    assert DiskSpace(100, 60, 40).lacking_bytes == 0
    assert DiskSpace(100, 61, 40).lacking_bytes == 1
    assert "when 1 KiB more are free" in DiskSpace(102400, 62464, 40960).sentence()


def test_a_limit_is_shared_and_makes_up_for_nothing() -> None:
    now = [0.0]
    limit = RateLimiter(100, lambda: now[0])
    first, second = limit.take(50), limit.take(50)
    assert limit.seconds_until(first) == 0.5
    assert limit.seconds_until(second) == 1.0, "another download waits for the first one's bytes"
    now[0] = 0.75
    assert (limit.seconds_until(first), limit.seconds_until(second)) == (0, 0.25)
    now[0] = 100.0
    assert limit.seconds_until(limit.take(50)) == 0.5, "idle time is not saved up"
    free = RateLimiter(None)
    assert free.seconds_until(free.take(1 << 40)) == 0


def test_a_limit_that_is_set_anew_holds_for_those_who_wait() -> None:
    now = [0.0]
    limit = RateLimiter(100, lambda: now[0])
    ticket = limit.take(1000)
    now[0] = 1.0
    limit.set(450)
    assert limit.seconds_until(ticket) == 2.0, "a hundred bytes are paid already"
    limit.set(None)
    assert limit.seconds_until(ticket) == 0
    limit.set(10)
    assert limit.seconds_until(ticket) == 0, "what was free is not paid afterwards"


def test_a_part_has_one_holder_and_is_free_when_it_closes(tmp_path: Path) -> None:
    part = Part.open(tmp_path / "m.gguf")
    with pytest.raises(PartHeld):
        Part.open(tmp_path / "m.gguf")
    part.close()
    part.close()
    Part.open(tmp_path / "m.gguf").close()


def test_who_waited_for_a_part_that_got_its_name_begins_another(tmp_path: Path) -> None:
    first = Part.open(tmp_path / "m.gguf")
    first.write(b"whole")
    first.finish()
    second = Part.open(tmp_path / "m.gguf")
    assert second.resume(100) == 0
    second.close()
    assert (tmp_path / "m.gguf").read_bytes() == b"whole"


def test_a_part_knows_its_digest_however_it_grew(tmp_path: Path) -> None:
    part = Part.open(tmp_path / "m.gguf")
    part.write(b"abcdef")
    part.close()
    again = Part.open(tmp_path / "m.gguf")
    assert again.resume(4) == 4
    again.write(b"XY")
    assert again.sha256 == hashlib.sha256(b"abcdXY").hexdigest()
    again.restart()
    again.write(b"Z")
    assert again.sha256 == hashlib.sha256(b"Z").hexdigest()
    assert again.sync() == 1
    again.finish()
    assert (tmp_path / "m.gguf").read_bytes() == b"Z"
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_a_piece_that_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    part = Part.open(tmp_path / "m.gguf")
    assert part.append(0, b"begun") == 5
    assert part.append(4, b"elsewhere") is None
    with files_of_at_most(1000), pytest.raises(OSError, match="File too large"):
        part.append(5, bytes(2000))
    part.close()
    assert (tmp_path / "m.gguf.part").read_bytes() == b"begun"


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """A disk that takes no more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_link_in_the_parts_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "m.gguf.part").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        Part.open(tmp_path / "m.gguf")
    assert (tmp_path / "victim").read_bytes() == b"precious"
