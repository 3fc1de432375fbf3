"""GBNF is parsed within bounds and followed within bounds, whatever a stranger writes."""

from __future__ import annotations

import re
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.core.decoding.automaton import BadGrammar
from inference.core.decoding.gbnf import parse
from inference.core.decoding.grammar import Follower, GrammarTooComplex, Recogniser, Vocabulary


def no_token(_text: str) -> int | None:
    return None


def matches(grammar: str, text: str) -> bool:
    recogniser = Recogniser(parse(grammar, no_token))
    position = recogniser.start
    for character in text:
        recogniser.refill()
        following = recogniser.after(position, character)
        if following is None:
            return False
        position = following
    return position.accepting


def follow_within_one_step(grammar: str, text: str) -> None:
    recogniser = Recogniser(parse(grammar, no_token))
    position = recogniser.start
    for character in text:
        following = recogniser.after(position, character)
        assert following is not None
        position = following


JSON = r"""
root   ::= value
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (pair ("," ws pair)*)? "}" ws
pair   ::= string ":" ws value
array  ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws     ::= [ \t\n]*   # a comment
"""


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": [1, -2.5e3, "x\\u00e9"], "b": {}}', True),
        ('["ä🙂", true, null]', True),
        ('{"a": 01}', False),
        ('{"a"}', False),
        ("[1,]", False),
    ],
)
def test_json_is_told_from_what_looks_like_it(text: str, valid: bool) -> None:
    assert matches(JSON, text) is valid


PATTERNS = {
    'root ::= "a"* "b"+ "c"?': r"a*b+c?",
    'root ::= ("ab" | "a" | "c"){1,3}': r"(?:ab|a|c){1,3}",
    "root ::= [a-b]{2,} [^a]": r"[ab]{2,}[^a]",
    'root ::= x x\nx ::= "a" | "bc" |': r"(?:a|bc|){2}",
    'root ::= "a" root "b" | ""': None,
    'root ::= ("a"?)* "c"': r"a*c",
    'root ::= ("" | "a"){0,2} ."."': r"a{0,2}.\.",
}


@given(st.sampled_from(sorted(PATTERNS)), st.text("abc.", max_size=7))
def test_the_recogniser_agrees_with_regular_expressions(grammar: str, text: str) -> None:
    pattern = PATTERNS[grammar]
    if pattern is None:
        half = len(text) // 2
        expected = text == "a" * half + "b" * half
    else:
        expected = re.fullmatch(pattern, text) is not None
    assert matches(grammar, text) is expected


@pytest.mark.parametrize(
    "grammar",
    [
        'root ::= root "+" root | [0-9]',
        "root ::= empty root | [0-9+]*\nempty ::= nothing\nnothing ::=",
        'root ::= a\na ::= b\nb ::= a | [0-9] ("+" [0-9])*',
    ],
    ids=["left recursion", "hidden left recursion", "a cycle of rules"],
)
def test_grammars_that_end_llama_cpp_are_followed_here(grammar: str) -> None:
    assert matches(grammar, "1+2+3")
    assert not matches(grammar, "1+x")


def test_right_recursion_costs_the_same_at_any_depth() -> None:
    recogniser = Recogniser(parse('root ::= "x" root | ""', no_token))
    position = recogniser.start
    for _ in range(20_000):
        recogniser.refill()
        following = recogniser.after(position, "x")
        assert following is not None
        position.followers.clear()
        position = following
    assert position.accepting


def test_a_grammar_with_exponentially_many_stacks_is_no_trouble() -> None:
    grammar = 'root ::= s\ns ::= "a" s "x" | "a" s "y" | "a"'
    assert matches(grammar, "a" * 60 + "xy" * 29 + "x")


def test_more_work_than_a_step_allows_is_refused_instead_of_done() -> None:
    many = "\n".join(f'r{i} ::= r{i + 1} r{i + 1} | "a" r{i} | ""' for i in range(200))
    grammar = f'root ::= r0\n{many}\nr200 ::= "a"'
    with pytest.raises(GrammarTooComplex):
        follow_within_one_step(grammar, "a" * 1000)


@pytest.mark.parametrize(
    ("grammar", "complaint"),
    [
        ("", 'named "root"'),
        ('start ::= "x"', 'named "root"'),
        ("root ::= other", "no rule is named 'other'"),
        ('root ::= "x', "unexpected end"),
        ("root ::= [a-", "unexpected end"),
        ("root ::= []", "empty character class"),
        ("root ::= *", "nothing for \\* to repeat"),
        ('root ::= ("a"', "expected \\)"),
        ('root = "a"', "line 1, column 6: expected ::="),
        ('root ::= "\\q"', "unknown escape"),
        ('root ::= "\\UFFFFFFFF"', "no character"),
        ('root ::= "a"{3,2}', "more than it allows"),
        ('root ::= "a"{x}', "expected a count"),
        ("root ::= <nope>", "not a single token"),
        ('root ::= "a" ) ', "end of the line"),
        ("root ::= " + "(" * 100_000, "nested parentheses"),
        ('root ::= ((("a"{1000}){1000}){1000}){1000}', "repeats too much"),
        ('root ::= "a"' + "*" * 100_000, "repetitions of one item"),
    ],
)
def test_a_bad_grammar_is_refused_with_the_reason(grammar: str, complaint: str) -> None:
    with pytest.raises(BadGrammar, match=complaint):
        parse(grammar, no_token)


@pytest.mark.parametrize("item", ['""', '("" "")'])
def test_repeating_nothing_a_billion_times_is_still_nothing(item: str) -> None:
    assert matches(f'root ::= {item}{{999999999}} {item}* "a"', "a")


def test_repeating_a_choice_of_nothings_a_billion_times_is_refused() -> None:
    with pytest.raises(BadGrammar, match="repeats too much"):
        parse('root ::= ("" | ""){999999999}', no_token)


# tokens -------------------------------------------------------------------------------------------------------

PIECES = [
    b"<end>",
    b"",
    b"yes",
    b"no",
    b"y",
    b"es",
    "ü".encode()[:1],
    "ü".encode()[1:],
    "é".encode()[1:],
    b"!",
    b"\xff",
]
END = 0


def follower(grammar: str) -> Follower:
    def token_of_text(text: str) -> int | None:
        return PIECES.index(text.encode()) if text.encode() in PIECES else None

    return Follower(parse(grammar, token_of_text), Vocabulary(PIECES, [END]))


def allowed(following: Follower) -> set[int]:
    return {token for token in range(len(PIECES)) if following.allows(token)}


def test_tokens_are_allowed_that_begin_what_the_grammar_wants() -> None:
    following = follower('root ::= "yes" "!"?')
    assert allowed(following) == {2, 4}
    following.accept(4)
    assert allowed(following) == {5}
    following.accept(5)
    assert following.accepting
    assert allowed(following) == {END, 9}
    following.accept(9)
    assert following.ended


def test_a_character_split_over_tokens_is_followed_by_its_bytes() -> None:
    following = follower('root ::= "ü" "!"')
    assert allowed(following) == {6}
    following.accept(6)
    assert allowed(following) == {7}, "é has the same first byte and another second one"
    following.accept(7)
    assert allowed(following) == {9}


def test_a_token_element_takes_whole_tokens_only() -> None:
    following = follower('root ::= <[3]> "y" !<[2]>')
    assert allowed(following) == {3}
    following.accept(3)
    assert allowed(following) == {4}
    following.accept(4)
    assert 2 not in allowed(following)
    assert 5 in allowed(following)


@given(st.sampled_from(sorted(PATTERNS)), st.lists(st.integers(0, len(PIECES) - 1), max_size=5))
def test_the_quick_candidates_leave_out_nothing_that_is_allowed(grammar: str, path: list[int]) -> None:
    following = follower(grammar.replace("[a-b]", "[yen]").replace('"a"', '"y"').replace('"b"', '"es"'))
    for token in path:
        assert allowed(following) <= set(following.candidates())
        if token == END or not following.allows(token):
            return
        following.accept(token)


def test_a_vocabulary_sorts_tokens_by_their_first_character() -> None:
    vocabulary = Vocabulary(PIECES, [END])
    assert vocabulary.by_first["y"] == array("i", [2, 4])
    assert set(vocabulary.split) == {6, 7, 8, 10}
