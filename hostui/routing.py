"""WebSocket routes."""

from importlib import import_module
from importlib.util import find_spec

from channels.security.websocket import WebsocketDenier
from django.urls import re_path

websocket_urlpatterns = [
    *(import_module("inference.routing").websocket_urlpatterns if find_spec("inference.routing") else []),
    # Without a route for the rest, a wrong path would be an error in the log instead of a refusal.
    re_path(r"", WebsocketDenier.as_asgi()),
]
