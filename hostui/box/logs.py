"""Log lines: JSON in the data folder's files, short lines for people on the console. Both carry the request id."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the HTTP request being answered; records without a `request_id` of their own take it from here."""

# `request` is Django's: its text holds the path, and the path of a claim is a secret.
_LEFT_OUT = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request", "request_id", "taskName"}


def _request_id(record: logging.LogRecord) -> str | None:
    return getattr(record, "request_id", None) or request_id.get()


def with_traceback(record: logging.LogRecord) -> bool:
    """A filter: what Django says of a failed request without a traceback, the request's own line says too."""
    return record.exc_info is not None


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time (UTC), level, process, logger, message, request_id, and whatever `extra` carried."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if found := _request_id(record):
            line["request_id"] = found
        line.update({k: v for k, v in vars(record).items() if k not in _LEFT_OUT})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class LineFormatter(logging.Formatter):
    """`12:03:01 web WARNING message (request id)`, with a traceback where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")
        self._process = process

    def formatMessage(self, record: logging.LogRecord) -> str:
        found = _request_id(record)
        suffix = f" ({found})" if found else ""
        return f"{record.asctime} {self._process} {record.levelname} {record.getMessage()}{suffix}"
