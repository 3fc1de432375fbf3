"""The tree of a conversation, pure."""

from __future__ import annotations

from uuid import UUID, uuid4

from inference.web.chat.tree import ChatLine, Node, Tree, chat_messages, completion_prompt, title_from


def tree(**parents: str | None) -> tuple[Tree, dict[str, UUID]]:
    ids = {name: uuid4() for name in parents}
    return Tree([Node(ids[name], ids[parent] if parent else None) for name, parent in parents.items()]), ids


def test_a_branch_goes_from_the_root_to_its_leaf() -> None:
    found, ids = tree(q=None, a="q", b="q", q2="b", c="q2")
    assert found.branch(ids["c"]) == [ids["q"], ids["b"], ids["q2"], ids["c"]]
    assert found.branch(None) == []
    assert found.siblings(ids["a"]) == [ids["a"], ids["b"]]
    assert found.siblings(ids["q"]) == [ids["q"]]


def test_below_a_fork_the_newest_turn_is_taken() -> None:
    found, ids = tree(q=None, a="q", q2="a", b="q2", c="q2", r=None)
    assert found.leaf_through(ids["q"]) == ids["c"]
    assert found.leaf_through(ids["b"]) == ids["b"]
    assert found.leaf_through(None) == ids["r"]
    assert Tree([]).leaf_through(None) is None


def test_a_branch_may_be_as_long_as_it_likes() -> None:
    ids = [uuid4() for _ in range(20_000)]
    found = Tree([Node(each, parent) for each, parent in zip(ids, [None, *ids], strict=False)])
    assert found.branch(found.leaf_through(None)) == ids


def test_what_the_model_is_told_alternates() -> None:
    branch = [ChatLine("user", "a"), ChatLine("assistant", ""), ChatLine("user", "b"), ChatLine("assistant", "c")]
    assert chat_messages(branch, "s") == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "c"},
    ]


def test_a_running_text_continues_itself() -> None:
    branch = [ChatLine("user", "Once"), ChatLine("assistant", " upon a time."), ChatLine("user", "Then")]
    assert completion_prompt(branch, "") == "Once upon a time.\n\nThen"
    assert completion_prompt(branch[:1], "Tales") == "Tales\n\nOnce"


def test_a_title_is_cut_at_a_word() -> None:
    assert title_from("  Short\n title ") == "Short title"
    assert title_from("word " * 30) == " ".join(["word"] * 12) + "…"
    assert title_from("x" * 100) == "x" * 59 + "…"
