"""What may go wrong between this box and the Hub. Exceptions carry facts; `wording.sentence` words them."""

from __future__ import annotations


class HubError(Exception):
    """None of these is a fault of what is on this disk: the local inventory works on."""


class Unreachable(HubError):
    """No answer came: no network, no such host, no connection, or it ended in the middle. Trying again later may help."""

    def __init__(self, endpoint: str, cause: str) -> None:
        super().__init__(f"{endpoint}: {cause}")
        self.endpoint = endpoint
        self.cause = cause


class ConnectionDropped(Unreachable):
    """A connection broke after its first bytes. The Hub is there: a page need not wait before it asks again."""


class RateLimited(HubError):
    """429: too many requests. Not before `after_seconds`; None where the Hub does not say."""

    def __init__(self, after_seconds: float | None) -> None:
        super().__init__(f"429, try again after {after_seconds} s")
        self.after_seconds = after_seconds


class Broken(HubError):
    """The Hub answered with a status that says it has a problem of its own."""

    def __init__(self, status: int, after_seconds: float | None = None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.after_seconds = after_seconds


class NotOnHub(HubError):
    """There is no such repository, revision or file; or it is private, which the Hub does not tell apart."""

    def __init__(self, what: str, name: str, *, had_token: bool) -> None:
        super().__init__(f"no {what} {name}")
        self.what = what
        """repository, revision or file."""
        self.name = name
        self.had_token = had_token


class Gated(HubError):
    """The repository's owner lets people in one by one, on its page on the Hub."""

    def __init__(self, repository: str, *, had_token: bool) -> None:
        super().__init__(repository)
        self.repository = repository
        self.had_token = had_token


class TokenRefused(HubError):
    """The Hub does not know the token, or no longer."""


class Forbidden(HubError):
    """The token is known and does not allow this. `said`: the Hub's own words."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class NotAHub(HubError):
    """Something answered that does not speak like a Hub: a network's sign-in page, a proxy's error, a wrong endpoint."""

    def __init__(self, endpoint: str, what: str) -> None:
        super().__init__(f"{endpoint}: {what}")
        self.endpoint = endpoint
        self.what = what


class ForbiddenAddress(HubError):
    """The Hub led to an address where nothing is fetched from: see models_app.hub.addresses."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url}: {why}")
        self.url = url
        self.why = why


class NoSuchRange(HubError):
    """The file ends before the bytes that were asked for. `size_bytes`: its size; None where the Hub does not say."""

    def __init__(self, size_bytes: int | None) -> None:
        super().__init__(f"the file has {size_bytes} bytes")
        self.size_bytes = size_bytes
