"""`manage.py runhost` as a process, with real workers and the real starter model."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from inference.core.decoding.generation_options import GenerationOptions
from inference.core.scheduling.refusals import FailedToLoad
from inference.host.api.client import HostClient, HostRefusal, Lease, WorkerLost
from tests.host.cast import DEADLINE_SECONDS, ready
from tests.host.installation import Installation, installed, workers_of

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def installation(prepared_folder: Path) -> Iterator[Installation]:
    with installed(prepared_folder) as installation:
        yield installation


async def streaming(client: HostClient, first: Callable[[Lease], Any] | None = None, max_tokens: int = 8) -> str:
    """The text of one answer; `first` is called after the first token."""
    async with client.lease(variant_id=1, user="ann", request_id="r") as lease:
        await ready(lease)
        text, called = "", first is None
        async for event in lease.generate(
            request_id="r",
            owner="ann",
            options=GenerationOptions(max_tokens=max_tokens, temperature=0, logit_bias={2: -100}),
            messages=[{"role": "user", "content": "Count to a hundred."}],
        ):
            if event["type"] == "token":
                text += event["text"]
                if not called:
                    called = True
                    first(lease)  # type: ignore[misc]
        return text


def test_a_real_worker_answers_and_everybody_can_look_in(installation: Installation) -> None:
    with installation.host() as process:
        client = HostClient(installation.socket)
        text = asyncio.run(asyncio.wait_for(streaming(client), DEADLINE_SECONDS))
        assert text.strip()

        status = json.loads(installation.manage("status", "--json").stdout)
        (resident,) = status["host"]["residents"]
        assert status["processes"] == {}
        assert (resident["state"], resident["n_seq_max"], resident["n_ctx_seq"]) == ("resident", 2, 512)
        assert resident["tokens_total"] >= 8
        assert resident["weights_bytes"] > 90_000_000
        assert resident["reserved_bytes"] >= resident["weights_bytes"] + resident["kv_bytes"]
        workers = workers_of(process)
        assert resident["pid"] in {worker.pid for worker in workers}
        assert resident["name"] in installation.manage("status").stdout

        environment = psutil.Process(resident["pid"]).environ()
        assert not [name for name in environment if name.startswith(("HOSTUI", "DJANGO", "DATABASE"))]

        unloaded = installation.manage("unload", resident["name"])
        assert "is unloaded" in unloaded.stdout
        assert not psutil.pid_exists(resident["pid"])
        assert psutil.wait_procs(workers, timeout=DEADLINE_SECONDS)[1] == []
        loaded = installation.manage("load", "1")
        assert "loading" in loaded.stdout
        assert "is resident" in loaded.stdout


def test_a_broken_file_is_refused_in_words(installation: Installation) -> None:
    with installation.host():
        with pytest.raises(HostRefusal) as refused:
            asyncio.run(HostClient(installation.socket).load(2))
        failed = refused.value.facts
        assert isinstance(failed, FailedToLoad)
        assert failed.reason == "bad_file"
        done = installation.manage("load", "broken")
        assert done.returncode == 1
        assert failed.detail in done.stderr


def test_kill_9_of_the_host_leaves_no_worker_and_the_next_host_starts(installation: Installation) -> None:
    for _ in range(2):
        with installation.host() as process:
            asyncio.run(HostClient(installation.socket).load(1))
            workers = workers_of(process)
            assert workers
            process.kill()
            process.wait()
            _, alive = psutil.wait_procs(workers, timeout=DEADLINE_SECONDS)
            assert alive == []


def test_sigterm_lets_the_running_answer_finish(installation: Installation) -> None:
    with installation.host() as process:
        asyncio.run(HostClient(installation.socket).load(1))
        workers = workers_of(process)
        client = HostClient(installation.socket)

        def terminate(_: Lease) -> None:
            process.send_signal(signal.SIGTERM)

        uncut = asyncio.run(asyncio.wait_for(streaming(client, max_tokens=60), DEADLINE_SECONDS))
        text = asyncio.run(asyncio.wait_for(streaming(client, terminate, max_tokens=60), DEADLINE_SECONDS))
        assert text == uncut
        assert process.wait(DEADLINE_SECONDS) == 0
        assert psutil.wait_procs(workers, timeout=DEADLINE_SECONDS)[1] == []
        assert not Path(installation.socket).exists()


def test_the_end_of_the_supervisor_ends_the_host_and_its_workers(installation: Installation) -> None:
    with installation.host(HOSTUI_LIFELINE="stdin") as process:
        asyncio.run(HostClient(installation.socket).load(1))
        workers = workers_of(process)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert process.wait(DEADLINE_SECONDS) == 0
        assert psutil.wait_procs(workers, timeout=DEADLINE_SECONDS)[1] == []


def test_kill_9_of_the_worker_cuts_the_answer_and_the_next_one_works(installation: Installation) -> None:
    with installation.host() as process:
        client = HostClient(installation.socket)

        def kill_worker(_: Lease) -> None:
            for worker in workers_of(process):
                worker.kill()

        with pytest.raises(WorkerLost):
            asyncio.run(asyncio.wait_for(streaming(client, kill_worker, max_tokens=400), DEADLINE_SECONDS))
        assert asyncio.run(asyncio.wait_for(streaming(client), DEADLINE_SECONDS)).strip()


def test_a_second_host_on_the_same_folder_refuses_to_start(installation: Installation) -> None:
    with installation.host() as process:
        second = installation.manage("runhost")
        assert second.returncode != 0
        assert f"A host already runs on {installation.folder} (process {process.pid})" in second.stderr
        assert asyncio.run(HostClient(installation.socket).status())["pid"] == process.pid


def test_without_a_host_the_commands_say_so(installation: Installation) -> None:
    assert json.loads(installation.manage("status", "--json").stdout)["host"] is None
    assert "No host answers" in installation.manage("status").stdout
    assert "no host answers" in installation.manage("load", "1").stderr
    assert "There is no variant nobody" in installation.manage("unload", "nobody").stderr
