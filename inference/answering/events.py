"""What happens to one request, in order: waits, the variant being ready, prefill, tokens and `done`.

The host's and the worker's own events are passed on as they came; each has a literal `type`.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from inference.engine.protocol import Done, Prefill, Token
from inference.host.api.messages import Evicting, LeaseLoading, Queued


class HostAbsent(TypedDict):
    """No host answers; the request waits for it, as far as its patience goes."""

    type: Literal["host_absent"]


class VariantReady(TypedDict):
    """The wait is over: the prompt goes to the worker next, and from then on nothing is asked twice."""

    type: Literal["variant_ready"]


Wait = HostAbsent | Queued | Evicting | LeaseLoading
AnswerEvent = Wait | VariantReady | Prefill | Token | Done
