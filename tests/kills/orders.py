"""Somebody who orders jobs of every kind by the page's buttons, whatever is killed meanwhile."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import httpx

from models_app.hub.names import local_name
from tests.gguf_builder import SHAPES, build
from tests.hub import HubServer
from tests.kills.auditor import Auditor
from tests.kills.promised import File, Promised, downloaded, remote_model, requantized
from tests.kills.uploads import Refused, Upload
from tests.stack import Stack, csrf_token

TYPES = ("Q8_0", "Q4_K_M", "Q6_K", "Q3_K_M", "IQ4_XS", "Q5_0")
AT_ONCE = {"download": 2, "requantize": 2, "upload": 1, "import": 1}
WITH_WORKERS = {"measure": 1, "imatrix": 1}
"""They read for seconds and wait ten for a host that was killed: for runs that have the time."""
TEXT = "The quick brown fox jumps over the lazy dog. " * 400
PAUSE_SECONDS = 0.1
_FIRST_SEEDS = {"brought": 10_000, "sent": 20_000}
"""No two models are alike, and downloads count from one."""
PADDING_BYTES = 3 << 19


def press_download(client: httpx.Client, box: Stack, hub: HubServer, repository: str, token: str) -> httpx.Response:
    """As the page's button does."""
    remote = hub.repositories[repository]
    form = {"csrfmiddlewaretoken": token, "revision": remote.head, "key": key_of(hub, repository)}
    return client.post(f"/models/hub/{repository}/download/", data=form, headers={"Origin": box.url})


def key_of(hub: HubServer, repository: str) -> str:
    """The one variant's, in the repository."""
    remote = hub.repositories[repository]
    (key,) = {re.sub(r"-\d{5}-of-\d{5}", "", path) for path in remote.commits[remote.head]}
    return key


class Orders:
    """A thread within the block: keeps so many jobs of each kind under way. An order whose answer was lost with its web process
    is given again unless its job is there. What failed is ordered again.
    """

    def __init__(
        self,
        box: Stack,
        hub: HubServer,
        source: str,
        folder: Path,
        promised: Promised,
        auditor: Auditor,
        at_once: dict[str, int],
    ) -> None:
        self.n_answers_lost = 0
        self.n_refused = 0
        """Downloads that were not begun, because the Hub did not tell what there is. They are ordered again."""
        self._box = box
        self._hub = hub
        self._source = source
        self._folder = folder
        self._promised = promised
        self._auditor = auditor
        self._made: dict[str, Path] = {}
        self._repositories: dict[str, str] = {}
        """By the name that the variant gets."""
        self._sending: Upload | None = None
        self._at_once = at_once
        self._numbers = dict.fromkeys(at_once, 0)
        self._text = folder / "text.txt"
        self._text.write_text(TEXT)
        self._client = box.login(box.admin)
        self._token = csrf_token(self._client.get("/models/find/").text + self._client.get("/jobs/").text)
        self._enough = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_ordering, name="orders")

    def prepare(self, source: Path) -> None:
        """Makes what requantizing is to come to."""
        self._made = {each: requantized(source, each, self._folder) for each in TYPES}

    def __enter__(self) -> Orders:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def enough(self) -> None:
        """No further orders; what fails is still tried again."""
        self._enough.set()

    def _keep_ordering(self) -> None:
        try:
            self._order()
        except Exception as error:
            self._auditor.say(f"ordering broke: {error!r}")
            raise

    def _order(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            for name in self._auditor.failed():
                self._try_again(name)
            self._send_on()
            if self._enough.is_set():
                continue
            under_way = self._auditor.under_way()
            for kind, most in self._at_once.items():
                if under_way[kind] < most:
                    self._numbers[kind] += 1
                    self._order_one(kind, self._numbers[kind])

    def _order_one(self, kind: str, number: int) -> None:
        match kind:
            case "download":
                self._download(number)
            case "requantize":
                self._requantize(number)
            case "import":
                self._import(number)
            case "upload":
                self._upload(number)
            case _:
                self._read(kind)

    def _download(self, number: int) -> None:
        repository = f"owner/model{number}-GGUF"
        files = remote_model(self._folder, number, PADDING_BYTES)
        self._hub.add(repository, {path.name: path for path in files})
        name = local_name(repository, key_of(self._hub, repository))
        self._promised.add(name, downloaded(name, files))
        self._repositories[name] = repository
        self._insist(
            name,
            lambda: press_download(self._client, self._box, self._hub, repository, self._token),
            may_be_refused=True,
        )

    def _try_again(self, name: str) -> None:
        repository = self._repositories.get(name)
        if repository is None:
            return  # no other kind may fail: the auditor has said so
        with suppress(httpx.TransportError):
            press_download(self._client, self._box, self._hub, repository, self._token)

    def _requantize(self, number: int) -> None:
        kind = TYPES[number % len(TYPES)]
        name = f"made-{number}-{kind}"
        self._promised.add(name, [File.like(self._made[kind], f"{name}.gguf")])
        form = {"csrfmiddlewaretoken": self._token, "type": kind, "name": name}
        path = f"/models/{self._source}/requantize/"
        self._insist(name, lambda: self._client.post(path, data=form, headers={"Origin": self._box.url}))

    def _import(self, number: int) -> None:
        path, name = self._own_model("brought", number)
        form = {"csrfmiddlewaretoken": self._token, "path": str(path), "how": "copy"}
        self._insist(name, lambda: self._client.post("/models/add/", data=form, headers={"Origin": self._box.url}))

    def _upload(self, number: int) -> None:
        if self._sending is None:
            path, _ = self._own_model("sent", number)
            headers = {"Origin": self._box.url, "X-CSRFToken": self._token}
            self._sending = Upload(self._client, headers, path)

    def _send_on(self) -> None:
        if self._sending is None:
            return
        try:
            self._sending.step()
        except Refused as refused:
            self._auditor.say(f"a piece of an upload was answered with {refused}")
        if self._sending.is_whole:
            self.n_answers_lost += self._sending.n_answers_lost
            self._sending = None

    def _own_model(self, word: str, number: int) -> tuple[Path, str]:
        """A file like no other, and the name that its variant gets."""
        name = f"{word}-{number}-Q4_0"
        path = build(self._folder / f"{name}.gguf", SHAPES["tiny-gqa"], body="random", seed=_FIRST_SEEDS[word] + number)
        self._promised.add(name, [File.like(path, path.name)])
        return path, name

    def _read(self, what: str) -> None:
        """Measures the source or makes its matrix. Where the answer is lost the next look tells whether it was begun."""
        form = {"csrfmiddlewaretoken": self._token, "text": str(self._text)}
        try:
            self._client.post(f"/models/{self._source}/{what}/", data=form, headers={"Origin": self._box.url})
        except httpx.TransportError:
            self.n_answers_lost += 1

    def _insist(self, name: str, press: Callable[[], httpx.Response], *, may_be_refused: bool = False) -> None:
        while not self._is_there(name) and not self._stopping.is_set():
            try:
                answer = press()
            except httpx.TransportError:
                self.n_answers_lost += 1
                self._stopping.wait(PAUSE_SECONDS)
                continue
            if answer.status_code != 302:
                self._auditor.say(f"ordering {name} was answered with {answer.status_code}: {answer.text[:2000]}")
            elif self._is_there(name):
                return
            elif not may_be_refused:
                self._auditor.say(f"{name} was accepted and has no job")
            self.n_refused += 1

    def _is_there(self, name: str) -> bool:
        return any(own == name for *_, own in self._auditor.jobs())
