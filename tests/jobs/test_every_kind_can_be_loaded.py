"""Kinds of job name their code by dotted path, which nothing reads before the first job of that kind runs."""

from __future__ import annotations

import pytest

from models_app.jobs import kinds

KINDS = ("download", "imatrix", "import", "measure", "requantize", "upload", "verify")


def test_these_kinds_are_registered():
    assert set(KINDS) <= set(kinds.names())


@pytest.mark.parametrize("name", KINDS)
def test_the_code_of_each_kind_is_where_its_paths_say(name):
    kind = kinds.kind_named(name)
    assert kind is not None
    assert callable(kind.load_run())
    assert kind.discard is None or callable(kind.load_discard())
