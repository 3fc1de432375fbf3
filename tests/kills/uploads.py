"""A file that is sent as the page's script sends it, whatever is killed meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

PIECE_BYTES = 200_000
"""Smaller than the page's: it takes several kills' time."""
_BEING_WRITTEN = 423


class Refused(Exception):
    """The message is the box's whole answer."""


class Upload:
    """One file. A request that is lost is made again: the box knows where the file ends."""

    def __init__(self, client: httpx.Client, headers: dict[str, str], path: Path) -> None:
        self.n_answers_lost = 0
        self._client = client
        self._headers = headers
        self._name = path.name
        self._content = path.read_bytes()
        self._address: str | None = None
        self._offset = 0

    @property
    def is_whole(self) -> bool:
        return self._offset == len(self._content)

    def step(self) -> None:
        """Begins, or sends one piece. Raises Refused."""
        try:
            if self._address is None:
                self._begin()
            else:
                self._send(self._address)
        except httpx.TransportError:
            self.n_answers_lost += 1

    def _begin(self) -> None:
        offer = [{"name": self._name, "size_bytes": len(self._content)}]
        told = _told(self._client.post("/models/upload/", json=offer, headers=self._headers), 201)
        self._address, self._offset = f"/models/upload/{told['id']}/0/", told["offsets"][0]

    def _send(self, address: str) -> None:
        piece = self._content[self._offset : self._offset + PIECE_BYTES]
        headers = {**self._headers, "Upload-Offset": str(self._offset)}
        answer = self._client.put(address, content=piece, headers=headers)
        if answer.status_code != _BEING_WRITTEN:
            self._offset = _told(answer, 200, 409)["offset"]


def _told(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    if answer.status_code not in statuses:
        raise Refused(f"{answer.status_code}: {answer.text[:2000]}")
    told: dict[str, Any] = answer.json()
    return told
