"""A Hub for the tests: speaks the HTTP API that huggingface_hub calls, and misbehaves on request.

In a test: `with running_hub() as hub:`, then `hub.add("owner/name", {"file.gguf": path})`, `hub.endpoint` and `hub.faults`.
From a shell or a bench: `python -m tests.hub FOLDER` serves FOLDER/owner/name/… in a process of its own.
"""

from tests.hub.faults import (
    CaptivePortal,
    Cut,
    Fault,
    Faults,
    Latency,
    NoRanges,
    Redirect,
    ServerError,
    Slow,
    Stall,
    TooManyRequests,
    WrongBytes,
    WrongDigest,
    WrongSize,
)
from tests.hub.handler import Seen
from tests.hub.repositories import RemoteFile, RemoteRepository
from tests.hub.server import HubServer, running_hub

__all__ = [
    "CaptivePortal",
    "Cut",
    "Fault",
    "Faults",
    "HubServer",
    "Latency",
    "NoRanges",
    "Redirect",
    "RemoteFile",
    "RemoteRepository",
    "Seen",
    "ServerError",
    "Slow",
    "Stall",
    "TooManyRequests",
    "WrongBytes",
    "WrongDigest",
    "WrongSize",
    "running_hub",
]
