"""Errors of the Hub in sentences: what happened, what to do next. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from models_app.hub.errors import (
    Broken,
    ConnectionDropped,
    Forbidden,
    ForbiddenAddress,
    Gated,
    HubError,
    NoSuchRange,
    NotAHub,
    NotOnHub,
    RateLimited,
    TokenRefused,
    Unreachable,
)
from models_app.units import format_bytes


def sentence(error: HubError) -> str:
    match error:
        case ConnectionDropped():
            return f"The connection to {_host(error.endpoint)} broke off: {error.cause}. Try again."
        case Unreachable():
            return f"The Hub at {_host(error.endpoint)} cannot be reached: {error.cause}. Models on this box work on."
        case RateLimited():
            return f"The Hub has had enough requests from here for now. {_again(error.after_seconds)}"
        case Broken():
            return f"The Hub has a problem of its own (status {error.status}). {_again(error.after_seconds)}"
        case NotOnHub(what="repository"):
            private = (
                "or the token of this box may not see it" if error.had_token else "or it is private and needs a token"
            )
            return f"The Hub has no repository {error.name}, {private}."
        case NotOnHub():
            return f"The Hub has no {error.what} {error.name}. It may have been renamed or removed."
        case Gated():
            page = f"Ask for access on the page of {error.repository} on the Hub"
            return f"The repository {error.repository} is gated. {page}" + (
                "; the token of this box is not let in yet." if error.had_token else ", then enter a token here."
            )
        case TokenRefused():
            return "The Hub does not accept the token of this box. It may have expired: enter a new one."
        case Forbidden():
            return f"The token of this box does not allow this. The Hub says: {error.said}"
        case NotAHub():
            return (
                f"What answered for {_host(error.endpoint)} is not a Hub: {error.what}. "
                "Check the network's sign-in page, the proxy and HF_ENDPOINT."
            )
        case ForbiddenAddress():
            return f"The Hub led to {_host(error.url)}, {error.why}. Nothing was fetched from there."
        case NoSuchRange():
            size = "" if error.size_bytes is None else f" after {format_bytes(error.size_bytes)}"
            return f"The file on the Hub ends{size}, before the bytes that its record promises."
    return f"The Hub did not do what was asked: {error}."


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _again(after_seconds: float | None) -> str:
    if after_seconds is None:
        return "Try again in a few minutes."
    return (
        f"Try again in {after_seconds:.0f} s." if after_seconds < 90 else f"Try again in {after_seconds / 60:.0f} min."
    )
