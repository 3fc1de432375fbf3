"""What daphne runs: pages and /v1 by Django, WebSockets by Channels, static files beside both."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostui.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

_django = get_asgi_application()

# Needs the loaded applications.
from hostui.http.origin import SameOriginOnly  # noqa: E402
from hostui.http.proxies import TrustedProxies  # noqa: E402
from hostui.http.static_files import StaticFiles  # noqa: E402
from hostui.routing import websocket_urlpatterns  # noqa: E402

_routed = ProtocolTypeRouter(
    {
        "http": StaticFiles(_django, prefix="/" + settings.STATIC_URL.strip("/") + "/"),
        "websocket": SameOriginOnly(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), settings.ALLOWED_HOSTS),
    }
)
application = TrustedProxies(
    _routed, settings.TRUSTED_PROXIES, own_scheme=settings.HTTPS and not settings.TRUSTED_PROXIES
)
