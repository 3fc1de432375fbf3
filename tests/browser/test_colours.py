"""Colours stand in tokens.css alone, and words can be read on what lies under them. No browser needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parent.parent.parent / "static" / "css"
TOKENS = (CSS / "shared" / "tokens.css").read_text()
BLOCKS = [
    {name: value.strip() for name, value in re.findall(r"--([\w-]+):\s*([^;]+);", block)}
    for block in re.findall(r"(?<=\{)[^{}]*--page[^{}]*(?=\})", TOKENS)
]
LIGHT, DARK_BY_SYSTEM, DARK_BY_CHOICE = BLOCKS

TEXT_ON = {
    "page": ["text", "text-soft", "accent", "bad", "good"],
    "surface": ["text", "text-soft", "accent", "accent-strong", "bad"],
    "raised": ["text", "text-soft", "accent", "bad"],
    "sunken": ["text", "text-soft", "accent"],
    "accent-soft": ["text", "text-soft", "accent", "bad"],
    "good-soft": ["good"],
    "warn-soft": ["warn", "text"],
    "bad-soft": ["bad"],
    "accent": ["on-accent"],
    "accent-strong": ["on-accent"],
    "bad": ["on-bad"],
    "selection": ["text"],
    "code-head": ["text-soft"],
    "code-page": [
        f"code-{name}"
        for name in ["text", "comment", "keyword", "string", "number", "name", "type", "added", "removed"]
    ],
}
MARKS_ON = {"page": ["line-strong", "focus"], "surface": ["line-strong", "focus", "accent"]}
"""What is no text but must be seen: edges of fields, the focus."""


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio, 1 to 21."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize(("theme", "least"), [(LIGHT, 4.5), (DARK_BY_CHOICE, 4.5)], ids=["light", "dark"])
def test_every_text_can_be_read(theme: dict[str, str], least: float) -> None:
    faint = {
        f"{text} on {under}": round(contrast(theme[text], theme[under]), 2)
        for under, texts in TEXT_ON.items()
        for text in texts
        if contrast(theme[text], theme[under]) < least
    }
    assert faint == {}


@pytest.mark.parametrize("theme", [LIGHT, DARK_BY_CHOICE], ids=["light", "dark"])
def test_every_mark_can_be_seen(theme: dict[str, str]) -> None:
    faint = {
        f"{mark} on {under}": round(contrast(theme[mark], theme[under]), 2)
        for under, marks in MARKS_ON.items()
        for mark in marks
        if contrast(theme[mark], theme[under]) < 3
    }
    assert faint == {}


def test_dark_is_the_same_by_system_and_by_choice() -> None:
    assert DARK_BY_SYSTEM == DARK_BY_CHOICE


def test_dark_overrides_every_colour() -> None:
    colours = {name for name, value in LIGHT.items() if value.startswith(("#", "rgb"))}
    assert colours == set(DARK_BY_CHOICE)


@pytest.mark.parametrize("path", sorted(CSS.rglob("*.css")), ids=lambda path: str(path.relative_to(CSS)))
def test_no_other_file_names_a_colour(path: Path) -> None:
    if path.name == "tokens.css":
        assert TOKENS.count("--page") == 3
        return
    assert (
        re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(|:\s*(?:white|black|red|gr[ae]y)\b", path.read_text()) == []
    )
    assert set(re.findall(r"var\(--([\w-]+)", path.read_text())) <= set(LIGHT) | {"seen-height"}
