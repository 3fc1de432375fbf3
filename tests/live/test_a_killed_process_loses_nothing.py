"""`kill -9` of every process in turn, in the middle of a real answer."""

from __future__ import annotations

import json
import signal

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.live.tab import tab
from tests.stack import GONE_WITHIN_SECONDS, Stack, wait_for

pytestmark = pytest.mark.live


def resident(box: Stack) -> psutil.Process:
    """The one worker: below the host there are its template renderer and the process for the next load too."""
    (worker,) = json.loads(box.manage("status", "--json"))["host"]["residents"]
    return psutil.Process(worker["pid"])


def test_a_killed_worker_leaves_the_partial_answer_and_retry_answers_again(box: Stack) -> None:
    with tab(box, box.admin) as page:
        message = page.say("Tell me a very long story.", max_tokens=3000)
        heard = page.talk_until(message, 20).content
        worker = resident(box)
        worker.send_signal(signal.SIGKILL)
        final = page.final(message)
        assert final["state"] == "failed"
        assert final["error_code"] == "worker_lost"
        assert final["error_detail"]
        assert final["content"].startswith(heard)
        assert heard

        again = page.ask(type="regenerate", message=message, options={"max_tokens": 8})
        retried = page.final(again)
        assert retried["state"] == "complete"
        assert set(retried["siblings"]) == {message, again}
        assert resident(box).pid != worker.pid


def test_workers_die_with_a_killed_host_and_the_page_recovers_by_itself(box: Stack) -> None:
    with tab(box, box.admin) as page:
        message = page.say("Count as far as you can.", max_tokens=3000)
        heard = page.talk_until(message, 20).content
        workers = box.workers()
        assert workers
        host = box.kill("host")
        final = page.final(message)
        assert final["state"] == "failed"
        assert final["content"].startswith(heard)
        _, alive = psutil.wait_procs([host, *workers], timeout=GONE_WITHIN_SECONDS)
        assert not alive

        # On the same socket, whether the host is back yet or not.
        again = page.ask(type="regenerate", message=message, options={"max_tokens": 8})
        assert page.final(again)["state"] == "complete"


def test_a_killed_web_process_leaves_the_models_resident_and_marks_its_answer_interrupted(box: Stack) -> None:
    with tab(box, box.admin) as page:
        message = page.say("Explain everything.", max_tokens=6000)
        # Past the first second's save: what is promised is the text as of the last one.
        page.talk_until(message, 250)
        assert page.conversation is not None
        conversation = page.conversation["id"]
        worker = resident(box)
        web = box.kill("web")
        with pytest.raises(ConnectionClosed):
            page.final(message)
    psutil.wait_procs([web], timeout=GONE_WITHIN_SECONDS)
    box.wait_healthy()
    assert resident(box).pid == worker.pid

    with tab(box, box.admin) as page:
        view = next(view for view in page.open(conversation)["messages"] if view["id"] == message)
        assert view["state"] == "interrupted"
        assert len(view["content"]) > 50
        assert view["error_detail"]
        # The cut answer's slot is free again.
        status = json.loads(box.manage("status", "--json"))
        assert [resident["leases"] for resident in status["host"]["residents"]] == [0]
        again = page.ask(type="regenerate", message=message, options={"max_tokens": 8})
        assert page.final(again)["state"] == "complete"


def test_a_killed_jobs_process_is_started_again(box: Stack) -> None:
    before = box.pid("jobs")
    box.kill("jobs")
    wait_for(lambda: box.entry("jobs")["pid"] not in (None, before), "another jobs process")
    box.wait_healthy()
