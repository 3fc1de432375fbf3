"""Follows an answer through a grammar, character by character, and says which tokens may come next.

The recogniser keeps Earley's promise with a graph of calls instead of item sets: any grammar, left-recursive, ambiguous
or able to produce nothing, costs at most polynomial work per character, and what can no longer return is forgotten. That
work is counted: a grammar that would hold up everybody's decode step raises GrammarTooComplex.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from inference.core.decoding.automaton import Automaton, Characters, TokenTest

MOST_WORK_PER_STEP = 500_000
"""Elementary moves for one sampled token, trial tokens included: roughly a quarter of a second."""

_MOST_REMEMBERED = 256


class GrammarTooComplex(Exception):
    """Following the grammar takes more than MOST_WORK_PER_STEP moves for one token."""


class _Call:
    """A rule entered at one place of the text, and where to go on after it: (state, call that state belongs to)."""

    __slots__ = ("returns",)

    def __init__(self) -> None:
        self.returns: dict[tuple[int, _Call], None] = {}


_Item = tuple[int, _Call]


class Position:
    """Holds all the places in a grammar that a text may have led to. Immutable to its users."""

    __slots__ = ("accepting", "characters", "followers", "tokens")

    def __init__(
        self, characters: list[tuple[Characters, _Item]], tokens: list[tuple[TokenTest, _Item]], accepting: bool
    ) -> None:
        self.characters = characters
        self.tokens = tokens
        self.accepting = accepting
        """The text so far is complete."""
        self.followers: dict[str, Position | None] = {}

    @property
    def ended(self) -> bool:
        """Complete, and nothing may follow."""
        return self.accepting and not self.characters and not self.tokens


class Recogniser:
    """Walks one automaton. `refill` gives it the work allowance of the next step."""

    def __init__(self, automaton: Automaton) -> None:
        self._states = automaton.states
        self._starts = automaton.rule_starts
        self._last = [_is_last(automaton, number) for number in range(len(automaton.states))]
        self._whole = _Call()
        self._work_left = 0
        self.refill()
        self.start = self._close([(self._starts[automaton.root], self._whole)])

    def refill(self) -> None:
        """Allows MOST_WORK_PER_STEP moves more, for the next token."""
        self._work_left = MOST_WORK_PER_STEP

    def after(self, position: Position, character: str) -> Position | None:
        """Where `character` leads, None if it may not come. Raises GrammarTooComplex."""
        try:
            return position.followers[character]
        except KeyError:
            pass
        self._spend(len(position.characters))
        items = [item for allowed, item in position.characters if character in allowed]
        follower = position.followers[character] = self._close(items) if items else None
        return follower

    def after_token(self, position: Position, token: int) -> Position | None:
        """Where `token` leads as a whole, through `<token>` elements alone."""
        items = [item for test, item in position.tokens if (test.token == token) != test.negated]
        return self._close(items) if items else None

    def _spend(self, moves: int) -> None:
        self._work_left -= moves
        if self._work_left < 0:
            raise GrammarTooComplex

    def _close(self, items: list[_Item]) -> Position:
        """Follows calls, returns and free moves from `items` until only characters and tokens are left to wait for."""
        states, starts, last, whole = self._states, self._starts, self._last, self._whole
        seen: set[_Item] = set()
        entered: dict[int, _Call] = {}
        fresh: set[_Call] = set()
        finished: set[_Call] = set()
        characters: list[tuple[Characters, _Item]] = []
        tokens: list[tuple[TokenTest, _Item]] = []
        accepting = False
        todo = items
        while todo:
            item = todo.pop()
            if item in seen:
                continue
            seen.add(item)
            number, call = item
            state = states[number]
            self._spend(1 + len(state.free) + len(state.calls))
            for target in state.free:
                todo.append((target, call))
            for rule, target in state.calls:
                callee = entered.get(rule)
                if callee is None:
                    callee = entered[rule] = _Call()
                    fresh.add(callee)
                    todo.append((starts[rule], callee))
                if last[target] and call is not whole and call not in fresh:
                    # A call in last place returns where its caller returns: without this, right recursion would
                    # climb through every level at each character.
                    returns: Iterable[_Item] = call.returns
                    self._spend(len(call.returns))
                else:
                    returns = ((target, call),)
                for back in returns:
                    if back not in callee.returns:
                        callee.returns[back] = None
                        if callee in finished:
                            todo.append(back)
            if state.ends_rule:
                if call is whole:
                    accepting = True
                else:
                    finished.add(call)
                    self._spend(len(call.returns))
                    todo.extend(call.returns)
            for allowed, target in state.characters:
                characters.append((allowed, (target, call)))
            for test, target in state.tokens:
                tokens.append((test, (target, call)))
        return Position(characters, tokens, accepting)


def _is_last(automaton: Automaton, number: int) -> bool:
    """Whether nothing but the end of the rule lies behind this state."""
    while True:
        state = automaton.states[number]
        if state.characters or state.tokens or state.calls or len(state.free) > 1:
            return False
        if not state.free:
            return state.ends_rule
        if state.ends_rule or state.free[0] == number:
            return False
        number = state.free[0]


class Vocabulary:
    """Arranges token texts for the question which of them a grammar allows."""

    def __init__(self, pieces: Sequence[bytes], ends: Sequence[int]) -> None:
        self.pieces = pieces
        self.tokens = array("i", range(len(pieces)))
        self.ends = tuple(ends)
        """Tokens that end a generation."""
        self.by_first: dict[str, array[int]] = {}
        self.split = array("i")
        """Tokens that begin with a part of a character."""
        ending = set(ends)
        for token, piece in enumerate(pieces):
            if not piece or token in ending:
                continue
            first = _first_character(piece)
            if first is None:
                self.split.append(token)
            else:
                self.by_first.setdefault(first, array("i")).append(token)


class Follower:
    """Follows one answer through a grammar, token by token."""

    def __init__(self, automaton: Automaton, vocabulary: Vocabulary) -> None:
        """Raises GrammarTooComplex."""
        self._recogniser = Recogniser(automaton)
        self.vocabulary = vocabulary
        self._position = self._recogniser.start
        self._partial = b""
        self._candidates: dict[frozenset[Characters], array[int]] = {}

    @property
    def ended(self) -> bool:
        """Whether the answer is complete and nothing may follow."""
        return self._position.ended and not self._partial

    @property
    def accepting(self) -> bool:
        """Whether the answer is complete as it stands."""
        return self._position.accepting and not self._partial

    def refill(self) -> None:
        """Call once per sampled token."""
        self._recogniser.refill()

    def allows(self, token: int) -> bool:
        """Whether `token` may come next. Raises GrammarTooComplex."""
        if token in self.vocabulary.ends:
            return self.accepting
        return self._next(token) is not None

    def accept(self, token: int) -> None:
        """Takes `token`, which `allows` has allowed. Raises GrammarTooComplex."""
        if token in self.vocabulary.ends:
            return
        following = self._next(token)
        assert following is not None
        self._position, self._partial = following

    def candidates(self) -> array[int]:
        """A superset of the tokens that may come next, judged by their first character alone."""
        if self._partial:
            return self.vocabulary.split
        wanted = frozenset(allowed for allowed, _ in self._position.characters)
        found = self._candidates.get(wanted)
        if found is None:
            found = array("i", self.vocabulary.split)
            for first, tokens in self.vocabulary.by_first.items():
                if any(first in allowed for allowed in wanted):
                    found.extend(tokens)
            if len(self._candidates) >= _MOST_REMEMBERED:
                self._candidates.clear()
            self._candidates[wanted] = found
        extra = array("i", self.vocabulary.ends if self.accepting else ())
        if self._position.tokens:
            present = set(found)
            extra.extend(token for token in self.vocabulary.tokens if token not in present)
        return found + extra if extra else found

    def _next(self, token: int) -> tuple[Position, bytes] | None:
        if self._position.tokens and not self._partial:
            by_token = self._recogniser.after_token(self._position, token)
            if by_token is not None:
                # Where characters would do too, the token element wins: it is what the grammar spells out.
                return by_token, b""
        piece = self.vocabulary.pieces[token]
        if not piece:
            return None
        text, rest = _characters(self._partial + piece)
        if text is None:
            return None
        position = self._position
        for character in text:
            following = self._recogniser.after(position, character)
            if following is None:
                return None
            position = following
        if rest:
            low, high = _code_points(rest)
            if not any(allowed.meets(low, high) for allowed, _ in position.characters):
                return None
        return position, rest


def _first_character(piece: bytes) -> str | None:
    """None if `piece` begins inside a character or with only part of one."""
    text, _ = _characters(piece[:4])
    return text[0] if text else None


def _characters(raw: bytes) -> tuple[str | None, bytes]:
    """The whole characters of `raw` and the beginning of one more; None for the text if they cannot become UTF-8."""
    try:
        return raw.decode(), b""
    except UnicodeDecodeError as error:
        # A character that only lacks its end is at fault up to the last byte, and its first byte may begin one.
        if error.end < len(raw) or not 0xC2 <= raw[error.start] <= 0xF4:
            return None, b""
        return raw[: error.start].decode(), raw[error.start :]


def _code_points(partial: bytes) -> tuple[int, int]:
    """The first and the last code point whose UTF-8 begins with `partial`."""
    lead = partial[0]
    size = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    bits = lead & (0x7F >> size)
    for byte in partial[1:]:
        bits = bits << 6 | byte & 0x3F
    missing = 6 * (size - len(partial))
    smallest = {2: 0x80, 3: 0x800, 4: 0x10000}[size]
    return max(bits << missing, smallest), min((bits << missing) | ((1 << missing) - 1), 0x10FFFF)
