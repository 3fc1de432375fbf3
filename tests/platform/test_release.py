"""The version, the changelog, the licence and the supported versions speak of the same release."""

from __future__ import annotations

import re
from datetime import date

from tests.stack import BASE_DIR


def text(name: str) -> str:
    return (BASE_DIR / name).read_text(encoding="utf-8")


def version() -> str:
    found = re.search(r'^version = "([^"]+)"', text("pyproject.toml"), re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_version_is_the_newest_of_the_changelog_and_has_a_day() -> None:
    newest = re.search(r"^## (\d\S*) \((\S+)\)$", text("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version()
    date.fromisoformat(newest[2])


def test_the_version_is_one_that_is_mended() -> None:
    major, minor, _ = version().split(".")
    assert f"| {major}.{minor} | yes |" in text("SECURITY.md")


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert 'license = "Apache-2.0"' in text("pyproject.toml")
    assert "Apache License\n                           Version 2.0, January 2004" in text("LICENSE")
