"""The chat socket `/ws/chat/`: JSON text frames, each with a literal `type`. One socket per tab; a tab follows one conversation at a time.

Every message from the browser is authorised on its own: ids of other people's conversations answer `not_found`, exactly as ids that don't exist.

It closes with a code of inference.web.feeds.close_codes. On connect the server sends `variants` and `conversations`. Positions in text count as JavaScript does: UTF-16 code units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from inference.core.loads.vocabulary import ResidencyState

if TYPE_CHECKING:
    from typing_extensions import NotRequired

LONGEST_FRAME_BYTES = 1024 * 1024
LONGEST_NONCE = 64
LONGEST_TITLE = 200

# browser → server ---------------------------------------------------------------------------------------------


class OpenFrame(TypedDict):
    """Follow this conversation from now on (and no other). Answered by `conversation`, then by `patch`es of running answers."""

    type: Literal["open"]
    conversation: str


class SendFrame(TypedDict):
    """Adds a user message under `parent` and starts an answer. A new conversation where `conversation` is null.

    Editing an earlier message is a `send` with that message's own parent. `nonce` makes it idempotent: the page repeats an
    unacknowledged send after a reconnect with the same nonce, and gets the same messages.
    """

    type: Literal["send"]
    nonce: str
    conversation: str | None
    parent: str | None
    text: str
    variant: int
    options: NotRequired[dict[str, Any]]
    system_prompt: NotRequired[str]


class RegenerateFrame(TypedDict):
    """Starts another answer beside `message` (an answer): also Retry after a failure. `variant` may differ."""

    type: Literal["regenerate"]
    nonce: str
    message: str
    variant: int
    options: NotRequired[dict[str, Any]]


class StopFrame(TypedDict):
    type: Literal["stop"]
    message: str


class ShowBranchFrame(TypedDict):
    """Shows the branch that runs through `message`, and remembers it."""

    type: Literal["branch"]
    message: str


class RenameFrame(TypedDict):
    type: Literal["rename"]
    conversation: str
    title: str


class DeleteFrame(TypedDict):
    """Stops running answers of the conversation and deletes it."""

    type: Literal["delete"]
    conversation: str


# server → browser ---------------------------------------------------------------------------------------------


class MessageView(TypedDict):
    id: str
    parent: str | None
    siblings: list[str]
    """Ids of all messages with the same parent, oldest first, this one included."""
    role: Literal["user", "assistant"]
    content: str
    reasoning: str
    state: Literal["running", "complete", "stopped", "interrupted", "failed"]
    n_tokens: int
    finish_reason: str
    error_code: str
    error_detail: str
    variant_name: str
    timings: dict[str, Any] | None
    """predicted_n, predicted_ms, prompt_n, cache_n, prompt_ms (engine.protocol.Timings), ttft_ms, total_ms"""
    wait: WaitView | None
    created_at: str


class WaitView(TypedDict):
    """What a running answer waits for before its first token."""

    stage: Literal["starting", "queued", "evicting", "loading", "prefill", "generating", "host_down"]
    position: NotRequired[int]
    reason: NotRequired[str]
    fraction: NotRequired[float]
    variants: NotRequired[list[str]]
    done: NotRequired[int]
    total: NotRequired[int]


class ConversationView(TypedDict):
    """The whole shown branch, root first."""

    type: Literal["conversation"]
    id: str
    title: str
    variant: int | None
    options: dict[str, Any]
    system_prompt: str
    messages: list[MessageView]


class Accepted(TypedDict):
    """The `send` or `regenerate` with this nonce is stored and running; a `conversation` frame follows.

    `message` is the answer. A repeated nonce is answered with the same ids.
    """

    type: Literal["accepted"]
    nonce: str
    conversation: str
    message: str


class Patch(TypedDict):
    """Appends to a running answer. `n` is the number of its newest token; `content` and `reasoning` start at UTF-16 code units
    `at` and `reasoning_at`, so that `text.slice(0, at) + content` is the text so far.

    A page that finds a gap (its own text is shorter than `at`) sends `open` again.
    """

    type: Literal["patch"]
    message: str
    n: int
    at: int
    content: str
    reasoning_at: int
    reasoning: str
    wait: WaitView | None


class Final(TypedDict):
    """The answer has ended; `view` is its lasting form."""

    type: Literal["final"]
    view: MessageView


class ConversationRow(TypedDict):
    id: str
    title: str
    updated_at: str
    running: bool


class Conversations(TypedDict):
    """The sidebar: on connect and after every change in any tab. Newest first, at most 200."""

    type: Literal["conversations"]
    rows: list[ConversationRow]


class OfferedVariantView(TypedDict):
    id: int
    name: str
    state: ResidencyState
    fraction: float | None
    mode: Literal["chat", "completion"] | None
    failure_detail: str | None
    size_bytes: int
    queued: int
    trouble: str | None
    """Why it cannot run, in sentences: its files are missing or broken. It can't be picked then."""


class Variants(TypedDict):
    """What there is, what of it can be picked, and what is in memory: on connect and after every change. `host` is False while no host answers."""

    type: Literal["variants"]
    host: bool
    rows: list[OfferedVariantView]


class SocketError(TypedDict):
    """A message was refused. `nonce` is that of the refused message, where it had one."""

    type: Literal["error"]
    code: Literal[
        "bad_message", "too_large", "not_found", "bad_parameter", "busy", "storage", "no_variant", "forbidden"
    ]
    detail: str
    nonce: str | None


ServerMessage = ConversationView | Accepted | Patch | Final | Conversations | Variants | SocketError
