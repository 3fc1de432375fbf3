"""What a worker sends and receives: newline-delimited JSON objects, each with a literal `type`.

Host and worker talk over the worker's own pipes: the host writes one `Launch` line on standard input and keeps
the pipe open; its end means "exit now", so no worker outlives its host. The worker writes `WorkerReport` lines on standard
output; standard error carries its log.

Callers (the web process, jobs) talk to the worker over its Unix socket: one connection is one request. The caller
sends one `Generate`, `Tokenize`, `Score` or `Ping` line and reads replies until the last one (`Done`, `Tokens`, `Scored`, `Pong` or
`Refused`). Closing the connection early cancels the generation within one decode step. A worker that was launched with the
purpose `imatrix` takes `MakeImatrix` and `Ping` instead, and ends with `Made`, `Pong` or `Refused`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from inference.core.loads.vocabulary import FailureReason

if TYPE_CHECKING:
    # A child process that never waits for a socket has no use for the 30 ms that this takes.
    import asyncio

    from typing_extensions import NotRequired

LONGEST_LINE_BYTES = 16 * 1024 * 1024
"""A line longer than this ends the connection: nothing legitimate comes near."""


# host → worker ------------------------------------------------------------------------------------------------


class Launch(TypedDict):
    """The first and only line on the worker's standard input."""

    type: Literal["launch"]
    path: str
    """The GGUF file, or the first shard."""
    socket: str
    """Where to listen. The worker creates it with mode 0600 before it says `ready`."""
    options: dict[str, Any]
    """inference.core.loads.options.LoadOptions.to_json()"""
    rpc_servers: NotRequired[list[str]]
    """This and `gpus`: inference.core.loads.engine_devices.EngineDevices.to_json()."""
    gpus: NotRequired[dict[str, str]]


# worker → host ------------------------------------------------------------------------------------------------


class Loading(TypedDict):
    """Says how far the load is, ten times a second at most."""

    type: Literal["loading"]
    fraction: float


class DeviceReport(TypedDict):
    """Says what a worker holds on one device: the buffers that llama.cpp made there."""

    device: str
    """`ram`, or `gpu0`, `gpu1` … as the launch line names them. Memory of the host that a GPU may read is `ram`."""
    name: str
    """For a person."""
    weights_bytes: int
    kv_bytes: int
    """KV cache and recurrent state."""
    compute_bytes: int
    """Compute and output buffers."""
    overhead_bytes: int
    """Held beyond the buffers, such as a CUDA context. 0 from a worker: only the host can ask the driver."""


class Ready(TypedDict):
    """Sent once, after the worker has decoded a first token."""

    type: Literal["ready"]
    n_ctx: int
    n_ctx_seq: int
    n_seq_max: int
    n_ctx_train: int
    n_layers: int
    n_gpu_layers: int
    """Layers really offloaded, as llama.cpp reports them."""
    mode: Literal["chat", "completion"]
    """`completion`: the GGUF carries no chat template, or one that does not compile."""
    mode_reason: str | None
    weights_bytes: int
    """Of all devices together, like the two that follow."""
    kv_bytes: int
    compute_bytes: int
    devices: list[DeviceReport]
    """`ram` first, then every GPU of the launch line, whether it holds anything or not."""
    load_seconds: float


class Stats(TypedDict):
    """Once a second while slots are busy, and once when they fall idle."""

    type: Literal["stats"]
    slots_busy: int
    tokens_per_second: float
    """Generated tokens over the last second, all slots together; where nothing is generated, those that were read."""
    tokens_total: int
    step_age_seconds: float | None
    """Seconds since the last decode step ended while slots are busy; None when idle. A large value means: hung."""


class WorkerFailed(TypedDict):
    """Says why the worker exits now."""

    type: Literal["failed"]
    reason: FailureReason
    detail: str
    """A sentence for a person."""


WorkerReport = Loading | Ready | Stats | WorkerFailed


# caller → worker ----------------------------------------------------------------------------------------------


class ChatMessage(TypedDict):
    """One message of a conversation, as the chat template gets it."""

    role: str
    content: str
    name: NotRequired[str]


class Generate(TypedDict):
    """Asks for a text. Answered with `Prefill` and `Token` messages, and with `Done`."""

    type: Literal["generate"]
    request_id: str
    owner: str
    """Whose request this is. A slot's tokens are only ever reused for the same owner."""
    messages: NotRequired[list[ChatMessage]]
    """Rendered with the GGUF's chat template. Exactly one of `messages` and `prompt`."""
    prompt: NotRequired[str]
    """Raw text, for completion mode and /v1/completions."""
    options: dict[str, Any]
    """inference.core.decoding.generation_options.GenerationOptions.to_json()"""


class Tokenize(TypedDict):
    """Asks for the token ids of a text alone. Answered with `Tokens`."""

    type: Literal["tokenize"]
    text: str


class Score(TypedDict):
    """Asks how the model would have gone on at each place of a text. The logits go to a file: they are too many for a socket."""

    type: Literal["score"]
    request_id: str
    owner: str
    tokens: list[int]
    first: int
    """The first token whose successor is foretold; those before it are context."""
    path: str
    """A file that is there: float32 rows of the vocabulary's size are appended, one for each token from `first` to the last but one."""


class MakeImatrix(TypedDict):
    """Asks what a text, or the next part of it, sends into each weight. Answered with a `Chunk` after each piece, and with `Made`."""

    type: Literal["imatrix"]
    request_id: str
    text: str
    """Cut into chunks of the context's length; what is left over at its end is not read."""
    dataset: str
    """The text's name, kept in the file."""
    most_chunks: int
    first_chunk: int
    """Those before it were read already."""
    earlier: str | None
    """The file with the matrix of those: it is added to. None: there are none."""
    seconds: float
    """The part ends with the chunk in which this time has passed, or with the text."""
    path: str
    """A file that is there, and empty: the matrix is written to it at the end, in llama.cpp's GGUF form."""


class Ping(TypedDict):
    """Asks for a proof of life: the engine decodes one real token in a sequence of its own."""

    type: Literal["ping"]


# worker → caller ----------------------------------------------------------------------------------------------


class Prefill(TypedDict):
    """Says how much of the prompt is evaluated, after each step with a part of it."""

    type: Literal["prefill"]
    done: int
    """Prompt tokens evaluated so far, cached ones included."""
    total: int
    cached: int
    """Prompt tokens that were reused from the slot's sequence."""


class Token(TypedDict):
    """Text that became final in one decode step. May stand for several tokens (a split character, a held-back stop string)."""

    type: Literal["token"]
    n: int
    """Tokens generated so far, this one included: strictly increasing."""
    text: str
    reasoning: bool
    """True inside `<think>` and its kin; the tags themselves are never sent."""


class Timings(TypedDict):
    """llama-server's names, milliseconds."""

    prompt_n: int
    """Prompt tokens evaluated now."""
    cache_n: int
    """Prompt tokens reused."""
    prompt_ms: float
    predicted_n: int
    predicted_ms: float


FinishReason = Literal["stop", "length"]


class Done(TypedDict):
    """Ends a generation."""

    type: Literal["done"]
    reason: FinishReason
    stop_string: str | None
    timings: Timings


RefusalCode = Literal[
    "bad_request",
    "bad_parameter",
    "context_exceeded",
    "template_error",
    "template_timeout",
    "bad_grammar",
    "no_slot",
    "decode_failed",
]


class RefusalFacts(TypedDict, total=False):
    """The facts behind a refusal's sentence, each where it is known."""

    n_prompt: int
    """context_exceeded: tokens of the prompt."""
    n_ctx_seq: int
    """context_exceeded: tokens that a slot holds."""
    n_tokens: int
    """bad_request: tokens of a text that is too short for an importance matrix."""
    name: str
    """bad_parameter."""
    n_seq_max: int
    """no_slot: how many there are, all of them busy."""
    llama_code: int
    """decode_failed: llama_decode's."""
    errno: int
    """decode_failed: a file could not be written."""


class Refused(TypedDict):
    """The request ends here; the worker lives on."""

    type: Literal["refused"]
    code: RefusalCode
    detail: str
    """A sentence for a person."""
    facts: RefusalFacts


class Tokens(TypedDict):
    """Answers `Tokenize`."""

    type: Literal["tokens"]
    tokens: list[int]


class Scored(TypedDict):
    """Answers `Score`, once all rows are in the file."""

    type: Literal["scored"]
    n_rows: int
    seconds: float


class Chunk(TypedDict):
    """Says how much of the text has gone into the matrix."""

    type: Literal["chunk"]
    done: int
    """Chunks read so far, those of earlier parts included."""
    total: int
    """Of the whole text."""


class Made(TypedDict):
    """Answers `MakeImatrix`, once the matrix is in its file."""

    type: Literal["made"]
    n_chunks: int
    """In the file, those of earlier parts included."""
    seconds: float


class Pong(TypedDict):
    """Answers `Ping`."""

    type: Literal["pong"]
    decode_ms: float


WorkerReply = Prefill | Token | Done | Refused | Tokens | Scored | Chunk | Made | Pong


# framing ------------------------------------------------------------------------------------------------------


class BadMessage(ValueError):
    """A line is not a JSON object with a string `type`, or is longer than LONGEST_LINE_BYTES."""


_TO_JSON = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
"""Made once: json.dumps makes an encoder for every message that is not to be written its default way."""


def encode(message: Any) -> bytes:
    """One message as one line, UTF-8, ending in a newline. `message` contains no cycle."""
    return _TO_JSON(message).encode("utf-8", "surrogatepass") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message in `line`. Raises BadMessage."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadMessage('expected a JSON object with a string "type"')
    return message


async def read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message, or None at the end of the stream. Open the stream with limit=LONGEST_LINE_BYTES. Raises BadMessage."""
    try:
        line = await reader.readline()
    except ValueError:
        raise BadMessage(f"a line longer than {LONGEST_LINE_BYTES} bytes") from None
    except (ConnectionResetError, BrokenPipeError):
        return None
    return decode(line) if line.endswith(b"\n") else None
