"""Names for variants that are still to come."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from models_app import jobs
from models_app.intake.names import Names, giving_names
from models_app.intake.upload_job import OfferedFile, start_upload


@pytest.fixture(autouse=True)
def box(settings: Any, tmp_path: Path) -> None:
    settings.MODELS_DIR = tmp_path / "models"
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    settings.DISK_RESERVE_BYTES = 0


def start_elsewhere() -> str:
    """Another thread's upload, as another request would start it. Returns the name that it gets."""
    try:
        return str(start_upload([OfferedFile("one.gguf", 100)], None).spec["name"])
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_who_asks_while_a_name_is_being_given_waits_and_gets_another() -> None:
    with ThreadPoolExecutor(1) as other:
        with giving_names() as names:
            name = names.take("one")
            asked = other.submit(start_elsewhere)
            with pytest.raises(TimeoutError):
                asked.result(0.5)
            jobs.start("upload", {"name": name, "files": []}, "Upload one")
        assert (name, asked.result(20)) == ("one", "one-2")


@pytest.mark.django_db
def test_the_address_of_a_page_is_no_name() -> None:
    assert Names().take("upload") == "upload-2"
