"""llama.cpp's grammar notation (GBNF), parsed into an automaton.

llama.cpp's own parser recurses without a bound and its matcher copies stacks without one: a stranger's grammar of a few
hundred bytes ends or hangs the process, and through ctypes its exceptions do the same. Here every size is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from inference.core.decoding.automaton import (
    Automaton,
    BadGrammar,
    Characters,
    ItemChoice,
    ItemRepeat,
    ItemSequence,
    Node,
    RuleReference,
    TokenTest,
    compile_rules,
)

DEEPEST_NESTING = 200
MOST_REPEAT_SIGNS = 4

TokenOfText = Callable[[str], "int | None"]
"""The token id of a `<text>` element, None where that text is not one token."""

_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_COUNT = re.compile(r"\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_TOKEN = re.compile(r"(!?)<(?:\[(\d{1,9})\]|([^<>\r\n]+))>")
_PLAIN_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]"}
_ANY = Characters(frozenset(), (), negated=True)


def parse(text: str, token_of_text: TokenOfText) -> Automaton:
    """The automaton of a GBNF text whose start rule is `root`. Raises BadGrammar."""
    return compile_rules(_Parser(text, token_of_text).rules())


class _Parser:
    def __init__(self, text: str, token_of_text: TokenOfText) -> None:
        self._text = text
        self._at = 0
        self._token_of_text = token_of_text

    def rules(self) -> dict[str, Node]:
        rules: dict[str, Node] = {}
        self._skip(lines=True)
        while self._at < len(self._text):
            name = self._name()
            if not self._text.startswith("::=", self._at):
                raise self._error("expected ::=")
            self._at += 3
            self._skip(lines=True)
            rules[name] = self._choice(0)
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._error("expected the end of the line")
            self._skip(lines=True)
        return rules

    def _choice(self, depth: int) -> Node:
        if depth > DEEPEST_NESTING:
            raise self._error(f"more than {DEEPEST_NESTING} nested parentheses")
        options = [self._sequence(depth)]
        while self._text.startswith("|", self._at):
            self._at += 1
            self._skip(lines=True)
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else ItemChoice(tuple(options))

    def _sequence(self, depth: int) -> Node:
        items: list[Node] = []
        nested = depth > 0
        n_signs = 0
        while self._at < len(self._text):
            sign = self._text[self._at]
            if sign in "*+?{":
                if not items:
                    raise self._error(f"nothing for {sign} to repeat")
                n_signs += 1
                if n_signs > MOST_REPEAT_SIGNS:
                    raise self._error(f"more than {MOST_REPEAT_SIGNS} repetitions of one item")
                items[-1] = self._repeat(items[-1])
                self._skip(lines=nested)
                continue
            n_signs = 0
            if sign == '"':
                items.append(self._literal())
            elif sign == "[":
                items.append(self._class())
            elif sign == ".":
                self._at += 1
                items.append(_ANY)
            elif sign in "<!":
                items.append(self._token())
            elif sign == "(":
                self._at += 1
                self._skip(lines=True)
                items.append(self._choice(depth + 1))
                if not self._text.startswith(")", self._at):
                    raise self._error("expected )")
                self._at += 1
            elif _NAME.match(sign):
                items.append(RuleReference(self._name()))
            else:
                break
            self._skip(lines=nested)
        return items[0] if len(items) == 1 else ItemSequence(tuple(items))

    def _repeat(self, item: Node) -> Node:
        sign = self._text[self._at]
        if sign != "{":
            self._at += 1
            return ItemRepeat(item, 1 if sign == "+" else 0, 1 if sign == "?" else None)
        count = _COUNT.match(self._text, self._at)
        if count is None:
            raise self._error("expected a count such as {2}, {2,} or {2,5}")
        self._at = count.end()
        least = int(count[1])
        most = least if count[2] is None else (int(count[3]) if count[3] else None)
        if most is not None and most < least:
            raise self._error(f"{{{least},{most}}} asks for more than it allows")
        return ItemRepeat(item, least, most)

    def _literal(self) -> Node:
        self._at += 1
        items = []
        while not self._text.startswith('"', self._at):
            items.append(Characters(frozenset(self._character())))
        self._at += 1
        return items[0] if len(items) == 1 else ItemSequence(tuple(items))

    def _class(self) -> Characters:
        self._at += 1
        negated = self._text.startswith("^", self._at)
        self._at += negated
        singles: set[str] = set()
        ranges: list[tuple[str, str]] = []
        while not self._text.startswith("]", self._at):
            first = self._character()
            if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                self._at += 1
                ranges.append((first, self._character()))
            else:
                singles.add(first)
        if not singles and not ranges:
            raise self._error("empty character class")
        self._at += 1
        return Characters(frozenset(singles), tuple(ranges), negated)

    def _character(self) -> str:
        if self._at >= len(self._text):
            raise self._error("unexpected end")
        character = self._text[self._at]
        if character != "\\":
            self._at += 1
            return character
        escape = _ESCAPE.match(self._text, self._at)
        if escape is None:
            raise self._error("unexpected end")
        digits = escape[1] or escape[2] or escape[3]
        if digits is None:
            if escape[4] not in _PLAIN_ESCAPES:
                raise self._error(f"unknown escape \\{escape[4]}")
            character = _PLAIN_ESCAPES[escape[4]]
        else:
            if int(digits, 16) > 0x10FFFF:
                raise self._error(f"no character has the number {digits}")
            character = chr(int(digits, 16))
        self._at = escape.end()
        return character

    def _token(self) -> TokenTest:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise self._error("expected a token: <[number]> or <text>")
        token = int(found[2]) if found[2] else self._token_of_text(f"<{found[3]}>")
        if token is None:
            raise self._error(f"<{found[3]}> is not a single token of this vocabulary")
        self._at = found.end()
        return TokenTest(token, negated=bool(found[1]))

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._error("expected a rule's name")
        self._at = found.end()
        if not self._text.startswith("\n", self._at):
            self._skip(lines=False)
        return found[0]

    def _skip(self, *, lines: bool) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self._text, self._at)
        if found is not None:
            self._at = found.end()

    def _error(self, what: str) -> BadGrammar:
        line = self._text.count("\n", 0, self._at) + 1
        column = self._at - (self._text.rfind("\n", 0, self._at) + 1) + 1
        return BadGrammar(f"line {line}, column {column}: {what}")
