"""The sockets of this app. hostui.asgi puts sessions, users and the check of `Origin` around them."""

from __future__ import annotations

from typing import Any

from channels.consumer import AsyncConsumer
from django.urls import path

from inference.web.chat.consumer import ChatConsumer
from inference.web.dashboard.consumer import HostConsumer
from inference.web.jobs.consumer import JobConsumer


def socket_path(route: str, consumer: type[AsyncConsumer]) -> Any:
    """A route for Channels' router, whose patterns have a type in its stubs alone."""
    return path(route, consumer.as_asgi())  # type: ignore[arg-type]  # Django's is typed for views


websocket_urlpatterns = [
    socket_path("ws/chat/", ChatConsumer),
    socket_path("ws/host/", HostConsumer),
    socket_path("ws/jobs/", JobConsumer),
]
