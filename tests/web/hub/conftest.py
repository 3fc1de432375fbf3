"""A box with a Hub behind it, and people with and without rights. As in the conftest above, models are imported late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from models_app.hardware.profile import GIB
from models_app.hub.outage_memory import OutageMemory
from tests.gguf_builder import TINY, build
from tests.hub import HubServer
from tests.web.hub.asking import NAME

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from models_app.models import HardwareProfile


@pytest.fixture(autouse=True)
def _fresh(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from inference.web.hub import remote_models

    settings.MODELS_DIR = tmp_path / "models"
    settings.HOST_SOCKET = str(tmp_path / "no-host.sock")
    monkeypatch.setattr(remote_models, "_outages", OutageMemory())
    yield
    from huggingface_hub import close_session

    close_session()


@pytest.fixture
def box(transactional_db: None) -> HardwareProfile:
    from models_app.models import HardwareProfile

    return HardwareProfile.objects.create(
        name="this machine",
        is_this_machine=True,
        gpus=[{"name": "RTX 3060", "memory_bytes": 12 * GIB, "bandwidth_bytes_per_second": 360 * 10**9}],
        ram_bytes=64 * GIB,
        ram_bandwidth_bytes_per_second=60 * 10**9,
        n_cores=8,
    )


@pytest.fixture
def repository(hub: HubServer, tmp_path: Path, settings: Any) -> HubServer:
    """A tiny model in three quantizations, one of them in two shards; a projector, and a name that climbs."""
    folder = tmp_path / "remote"
    folder.mkdir()
    for quantization in ("Q4_0", "Q8_0"):
        build(folder / f"Tiny-{quantization}.gguf", TINY[0], quantization=quantization)
    build(folder / "Tiny-F16.gguf", TINY[0], quantization="F16", split=2)
    files = {path.name: path for path in sorted(folder.iterdir())}
    (folder / "mmproj").write_bytes(b"GGUF")
    hub.add(
        NAME,
        {**files, "mmproj-Tiny-f16.gguf": folder / "mmproj", "../evil-Q4_0.gguf": folder / "mmproj"},
        downloads=12_345,
        card={"license": "apache-2.0", "base_model": ["owner/Tiny"]},
        gguf={"architecture": "llama", "total": 1_200_000, "context_length": 8192},
    )
    settings.HUB_ENDPOINT = hub.endpoint
    return hub


@pytest.fixture
def owner(transactional_db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user("owner", is_staff=True)


@pytest.fixture
def staff(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def member(transactional_db: None) -> Client:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_user("member"))
    return client
