"""The code of a kind of job is named by a path that nothing follows before the first such job runs."""

from __future__ import annotations

from models_app.jobs import kinds


def test_the_code_of_every_kind_is_where_its_path_says() -> None:
    found = {name: kinds.kind_named(name) for name in kinds.names()}
    assert {"download", "import", "upload", "verify", "requantize", "measure", "imatrix"} <= set(found)
    for kind in found.values():
        assert kind is not None
        assert callable(kind.load_run())
        assert kind.discard is None or callable(kind.load_discard())
