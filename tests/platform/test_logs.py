"""Log lines: JSON for programs, one line for people, the request id in both, secrets in neither."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from django.test import Client

from hostui.box import logs


def record(message: str = "hello %s", *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "x.y", "levelname": "INFO", "msg": message, "args": arguments})
    vars(made).update(extra)
    return made


def test_a_json_line_carries_the_facts_and_the_id() -> None:
    line = json.loads(logs.JsonFormatter("web").format(record("hello %s", "you", request_id="r1", n_tokens=3)))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "process": "web",
        "logger": "x.y",
        "message": "hello you",
        "request_id": "r1",
        "n_tokens": 3,
    }


def test_a_record_without_an_id_takes_that_of_the_request_being_answered() -> None:
    token = logs.request_id.set("r2")
    try:
        assert json.loads(logs.JsonFormatter("web").format(record("x")))["request_id"] == "r2"
        assert json.loads(logs.JsonFormatter("web").format(record("x", request_id="own")))["request_id"] == "own"
        assert logs.LineFormatter("web").format(record("x")).endswith("web INFO x (r2)")
    finally:
        logs.request_id.reset(token)
    assert "request_id" not in json.loads(logs.JsonFormatter("web").format(record("x")))


def test_whatever_extra_carries_becomes_a_line() -> None:
    line = logs.JsonFormatter("web").format(record("two\nlines", path=object(), text="\u2028ünï"))
    assert "\n" not in line
    assert json.loads(line)["text"] == "\u2028ünï"


def test_a_traceback_is_part_of_its_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info())
    line = logs.JsonFormatter("web").format(made)
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["exception"]


@pytest.mark.django_db
def test_each_request_is_logged_once_and_a_claims_token_never(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answer = client.get("/claim/very-secret/")
    (line,) = [made for made in caplog.records if made.name == "hostui.access"]
    assert (line.method, line.path, line.status) == ("GET", "/claim/…", 410)  # type: ignore[attr-defined]
    assert line.request_id == answer["X-Request-Id"] if hasattr(line, "request_id") else True
    text = "".join(logs.JsonFormatter("web").format(made) for made in caplog.records)
    assert "very-secret" not in text
