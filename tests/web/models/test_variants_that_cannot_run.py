"""A variant whose files are missing or broken is shown, with the reason, and neither picked nor served."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from inference.models import Conversation
from models_app.models import Variant
from tests.web.fake_host import FakeHost
from tests.web.program import HELLO, Program
from tests.web.tab import OpenTab

MISSING = {"missing_since": datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)}
BROKEN = {"problem": "the tensor blk.0 ends beyond the file"}
WORDS = [(MISSING, "missing since 2026-01-02 03:04 UTC"), (BROKEN, "the tensor blk.0 ends beyond the file.")]


@pytest.mark.parametrize(("found", "words"), WORDS)
async def test_the_chat_says_why_and_takes_no_question(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, found: dict[str, object], words: str
) -> None:
    await Variant.objects.filter(pk=variant.pk).aupdate(**found)
    tab = await open_tab(alice)
    (row,) = (await tab.hear("variants"))["rows"]
    assert words in row["trouble"]
    await tab.ask("Hi", variant.pk)
    refused = await tab.hear("error")
    assert (refused["code"], refused["nonce"]) == ("no_variant", "n1")
    assert words in refused["detail"]
    assert not await Conversation.objects.aexists()


@pytest.mark.parametrize(("found", "words"), WORDS)
async def test_programs_are_not_offered_it_and_hear_why(
    host: FakeHost, alice: User, variant: Variant, found: dict[str, object], words: str
) -> None:
    await Variant.objects.filter(pk=variant.pk).aupdate(**found)
    program = await Program.of(alice)
    assert (await program.get("models")).json()["data"] == []
    for refused in (await program.get("models/smol"), await program.post("chat/completions", HELLO)):
        assert refused.status_code == 503
        assert refused.headers["X-Should-Retry"] == "false"
        error = refused.json()["error"]
        assert (error["code"], error["param"]) == ("model_unavailable", "model")
        assert words in error["message"]


async def test_files_that_are_back_need_no_scan(
    open_tab: OpenTab, host: FakeHost, alice: User, variant: Variant, tmp_path: Path
) -> None:
    file = tmp_path / "smol.gguf"
    await variant.shards.acreate(path=str(file), size_bytes=4)  # type: ignore[attr-defined]
    await Variant.objects.filter(pk=variant.pk).aupdate(**MISSING)
    file.write_bytes(b"GGUF")
    tab = await open_tab(alice)
    (row,) = (await tab.hear("variants"))["rows"]
    assert row["trouble"] is None
    await tab.send("Hi", variant.pk)
