"""WebSocket routes."""

from channels.security.websocket import WebsocketDenier
from django.urls import re_path

from inference.web.routing import websocket_urlpatterns as inference_urlpatterns

websocket_urlpatterns = [
    *inference_urlpatterns,
    # Without a route for the rest, a wrong path would be an error in the log instead of a refusal.
    re_path(r"", WebsocketDenier.as_asgi()),  # type: ignore[arg-type]  # Django's is typed for views
]
