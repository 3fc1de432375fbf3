"""The Hub: what is there, what of it may be taken, and its bytes.

`hub()` is the way in. Importing this loads no huggingface_hub: calling it does, which takes a fifth of a second once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models_app.hub.session import Hub


def hub(*, with_token: bool = True) -> Hub:
    """The Hub that this box is set up for, asked with the box's token or as a stranger."""
    from django.conf import settings

    from models_app.hub.session import Hub
    from models_app.hub.token import token_for

    return Hub(settings.HUB_ENDPOINT, token_for(settings.HUB_ENDPOINT) if with_token else None)


def hub_as(token: str) -> Hub:
    """The same, asked with a token that is not the box's, or not yet."""
    from django.conf import settings

    from models_app.hub.session import Hub

    return Hub(settings.HUB_ENDPOINT, token)
