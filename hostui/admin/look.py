"""How the admin looks: django-unfold's settings. Colours follow static/css/shared/tokens.css."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, name: str) -> dict[str, Any]:
    """`icon`: a name of Material Symbols, which come with unfold."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{name}_changelist"),
        "permission": _may_view(name),
    }


def _may_view(name: str) -> Callable[[Any], bool]:
    label, _, model = name.rpartition("_")
    return lambda request: request.user.has_perm(f"{label}.view_{model}")


def settings() -> dict[str, Any]:
    return {
        "SITE_TITLE": "hostui",
        "SITE_HEADER": "hostui",
        "SITE_SUBHEADER": "Administration",
        "SITE_URL": "/",
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/icon.svg")}],
        "SITE_SYMBOL": "stacks",
        "STYLES": [lambda request: static("css/admin.css")],
        "SHOW_HISTORY": True,
        "SHOW_VIEW_ON_SITE": True,
        "SHOW_BACK_BUTTON": True,
        "BORDER_RADIUS": "6px",
        "COLORS": {
            "primary": {
                "50": "#f3f6fc",
                "100": "#e6ecf8",
                "200": "#cfdcf6",
                "300": "#bccefa",
                "400": "#9db8f5",
                "500": "#5f82cc",
                "600": "#2f55a4",
                "700": "#24448a",
                "800": "#253150",
                "900": "#1c2744",
                "950": "#14203c",
            }
        },
        "SIDEBAR": {
            "show_search": True,
            "navigation": [
                {
                    "title": "Models",
                    "items": [
                        _item("Variants", "deployed_code", "models_app_variant"),
                        _item("Repositories", "folder", "models_app_repository"),
                        _item("Files", "draft", "models_app_shard"),
                        _item("Jobs", "schedule", "models_app_job"),
                        _item("Measurements", "speed", "models_app_measurement"),
                        _item("Dry runs", "science", "models_app_dryrunresult"),
                    ],
                },
                {
                    "title": "Box",
                    "items": [
                        _item("Hardware and budgets", "memory", "models_app_hardwareprofile"),
                        _item("Hub token", "vpn_key", "models_app_hubtoken"),
                        _item("Changes", "history", "admin_logentry"),
                    ],
                },
                {
                    "title": "People",
                    "items": [
                        _item("Users", "person", "auth_user"),
                        _item("Groups", "group", "auth_group"),
                        _item("Invitations", "mail", "accounts_invitation"),
                        _item("API keys", "key", "accounts_apikey"),
                        _item("Conversations", "forum", "inference_conversation"),
                    ],
                },
            ],
        },
    }
