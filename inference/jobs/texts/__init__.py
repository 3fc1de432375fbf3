"""The text that models are measured on, and that importance matrices are made of where no other is given.

Jane Austen, Persuasion (1818), chapters 1 to 4: in the public domain. A paragraph a line, as a chat would be.
"""

from __future__ import annotations

from pathlib import Path

TEXT = Path(__file__).with_name("persuasion.txt")
TEXT_NAME = "Persuasion, chapters 1 to 4"
