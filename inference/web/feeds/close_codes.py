"""Codes with which our sockets close, and what they tell a page. From the range that WebSocket leaves to applications."""

from __future__ import annotations

CLOSE_BAD_FRAME = 4400
"""A page that watches said something that is none of its few words."""
CLOSE_SIGNED_OUT = 4401
"""Nobody is signed in any more (or the account was switched off). Connecting again helps only after a login."""
CLOSE_TOO_LARGE = 4413
"""A frame was larger than the socket takes. Not WebSocket's own 1009, which an application may not send."""
