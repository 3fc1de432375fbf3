"""Two clicks at the same moment begin one job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import Client
from django.urls import reverse

from models_app import jobs
from models_app.catalog.register import add_model
from models_app.models import Job
from tests.gguf_builder import SHAPES, build


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("address", "kind"), [("measure", "measure"), ("imatrix", "imatrix"), ("model-verify", "verify")]
)
def test_who_asks_while_the_same_is_being_begun_waits_and_begins_nothing(
    tmp_path: Path, settings: Any, address: str, kind: str
) -> None:
    settings.JOBS_WAKE = "tests.jobs.conftest.unheard"
    variant = add_model(build(tmp_path / "tiny.gguf", SHAPES["tiny-gqa"])).variant
    client = Client()
    client.force_login(User.objects.create_superuser("owner"), backend="hostui.accounts.throttle.ThrottledModelBackend")
    client.get(reverse("jobs"))  # the first request of all loads the pages: no later one is so slow

    def ask_elsewhere() -> int:
        try:
            return client.post(reverse(address, args=[variant.name])).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            _, is_new = jobs.start_once(kind, {}, "The first", None, variant)
            asked = other.submit(ask_elsewhere)
            with pytest.raises(TimeoutError):
                asked.result(0.5)
        assert asked.result(20) == 302
    assert is_new
    assert [job.title for job in Job.objects.all()] == ["The first"]
