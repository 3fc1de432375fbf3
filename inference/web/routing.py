"""The sockets of this app. hostui.asgi puts sessions, users and the check of `Origin` around them."""

from __future__ import annotations

from django.urls import path

from inference.web.chat.consumer import ChatConsumer
from inference.web.dashboard.consumer import HostConsumer
from inference.web.jobs.consumer import JobConsumer

websocket_urlpatterns = [
    path("ws/chat/", ChatConsumer.as_asgi()),
    path("ws/host/", HostConsumer.as_asgi()),
    path("ws/jobs/", JobConsumer.as_asgi()),
]
