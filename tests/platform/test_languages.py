"""Pages are English; one in another language brings the words of the scripts with it, before they run."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import translation

pytestmark = pytest.mark.django_db

CATALOGUE = "/words.js"


def write_catalogue(path: Path, words: dict[str, str]) -> None:
    """A .mo file, as compilemessages makes it: a table of sentences, sorted, and one of their translations."""
    pairs = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **words}.items())
    offset = 28 + 16 * len(pairs)
    tables, texts = [b"", b""], b""
    for side in (0, 1):
        for pair in pairs:
            text = pair[side].encode()
            tables[side] += struct.pack("<II", len(text), offset + len(texts))
            texts += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(head + b"".join(tables) + texts)


def test_an_english_page_fetches_no_catalogue(client: Client) -> None:
    page = client.get("/login/").content.decode()
    assert '<html lang="en">' in page
    assert CATALOGUE not in page


def test_a_page_in_another_language_brings_its_catalogue_before_the_scripts(client: Client) -> None:
    with translation.override("de"):
        page = client.get("/login/").content.decode()
    assert '<html lang="de">' in page
    assert page.index(f'<script defer src="{CATALOGUE}">') < page.index('type="module"')


def test_the_catalogue_holds_the_words_of_the_scripts_for_everybody(client: Client, tmp_path: Path) -> None:
    write_catalogue(tmp_path / "de" / "LC_MESSAGES" / "djangojs.mo", {"Copied": "Kopiert"})
    with override_settings(LOCALE_PATHS=[tmp_path]), translation.override("de"):
        answer = client.get(reverse("javascript-catalog"))
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/javascript")
    assert '"Copied": "Kopiert"' in answer.content.decode()
