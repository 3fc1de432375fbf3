"""A grammar as a nondeterministic automaton with calls: one piece for each rule, built from the rule's syntax tree.

Every size is bounded: a stranger's grammar of a few hundred bytes may ask for any number of repetitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_STATES = 50_000


class BadGrammar(ValueError):
    """A grammar is not GBNF, or exceeds the bounds of its parser or automaton. The message says where and why."""


@dataclass(frozen=True, slots=True)
class Characters:
    """Matches one character: one of a set of single ones and inclusive ranges, or with `negated` any other."""

    singles: frozenset[str]
    ranges: tuple[tuple[str, str], ...] = ()
    negated: bool = False

    def __contains__(self, character: str) -> bool:
        inside = character in self.singles or any(low <= character <= high for low, high in self.ranges)
        return inside != self.negated

    def meets(self, low: int, high: int) -> bool:
        """Whether a character from code point `low` to `high` may be in the set. Exact, unless the set is negated."""
        if self.negated:
            return True
        return any(low <= ord(single) <= high for single in self.singles) or any(
            ord(first) <= high and low <= ord(last) for first, last in self.ranges
        )


@dataclass(frozen=True, slots=True)
class TokenTest:
    """Matches one whole token: `<[id]>` or `<text>`, or with `negated` every other one."""

    token: int
    negated: bool


@dataclass(slots=True)
class RuleState:
    """One state of a rule's automaton. `ends_rule` is set where the rule may end."""

    free: list[int] = field(default_factory=list)
    """States reached without input."""
    calls: list[tuple[int, int]] = field(default_factory=list)
    """(rule, state to go on with after it)."""
    characters: list[tuple[Characters, int]] = field(default_factory=list)
    tokens: list[tuple[TokenTest, int]] = field(default_factory=list)
    ends_rule: bool = False


@dataclass(frozen=True, slots=True)
class Automaton:
    """The states of all rules. `rule_starts`: by the number of a rule, its first state."""

    states: tuple[RuleState, ...]
    rule_starts: tuple[int, ...]
    root: int
    """The rule named `root`."""


@dataclass(frozen=True, slots=True)
class ItemSequence:
    """Items one after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ItemChoice:
    """One of several items."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ItemRepeat:
    """An item `least` to `most` times; `most` is None where there is no end."""

    item: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class RuleReference:
    """The place where another rule is called."""

    name: str


Node = ItemSequence | ItemChoice | ItemRepeat | RuleReference | Characters | TokenTest


def compile_rules(rules: Mapping[str, Node]) -> Automaton:
    """The automaton of rules by name, which starts at `root`. Raises BadGrammar for names without a rule and too many states."""
    return _Compiler(rules).automaton()


class _Compiler:
    def __init__(self, rules: Mapping[str, Node]) -> None:
        if "root" not in rules:
            raise BadGrammar('no rule is named "root"')
        self._rules = rules
        self._numbers = {name: number for number, name in enumerate(rules)}
        self._states: list[RuleState] = []

    def automaton(self) -> Automaton:
        starts = []
        for node in self._rules.values():
            start = self._state()
            starts.append(start)
            self._states[self._compile(node, start)].ends_rule = True
        return Automaton(tuple(self._states), tuple(starts), self._numbers["root"])

    def _state(self) -> int:
        if len(self._states) >= MOST_STATES:
            raise BadGrammar(f"it repeats too much: more than {MOST_STATES} states")
        self._states.append(RuleState())
        return len(self._states) - 1

    def _compile(self, node: Node, start: int) -> int:
        """Adds `node` behind state `start` and returns the state behind `node`."""
        if isinstance(node, ItemSequence):
            for item in node.items:
                start = self._compile(item, start)
            return start
        if isinstance(node, ItemRepeat):
            return self._compile_repeat(node, start)
        end = self._state()
        if isinstance(node, ItemChoice):
            for option in node.options:
                # Its own start state: a loop inside an option must not lead back into the choice.
                begin = self._state()
                self._states[start].free.append(begin)
                self._states[self._compile(option, begin)].free.append(end)
        elif isinstance(node, RuleReference):
            if node.name not in self._numbers:
                raise BadGrammar(f"no rule is named {node.name!r}")
            self._states[start].calls.append((self._numbers[node.name], end))
        elif isinstance(node, Characters):
            self._states[start].characters.append((node, end))
        else:
            self._states[start].tokens.append((node, end))
        return end

    def _compile_repeat(self, node: ItemRepeat, start: int) -> int:
        for _ in range(node.least):
            n_states = len(self._states)
            start = self._compile(node.item, start)
            if len(self._states) == n_states:
                # An empty item, however often: no state would ever bound this loop.
                break
        if node.most is None:
            loop = self._state()
            self._states[start].free.append(loop)
            self._states[self._compile(node.item, loop)].free.append(loop)
            end = self._state()
            self._states[loop].free.append(end)
            return end
        end = self._state()
        for _ in range(node.most - node.least):
            self._states[start].free.append(end)
            start = self._compile(node.item, start)
        self._states[start].free.append(end)
        return end
