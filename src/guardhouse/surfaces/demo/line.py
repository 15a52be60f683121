"""The line to the gateway: calls over real sockets, as any agent or person may make them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer: HTTP status, parsed body, and how long it took."""

    status: int
    body: Mapping[str, Any]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the call was performed."""
        return self.status == 200

    @property
    def code(self) -> str:
        """`performed`, or the stable code of what stopped the call."""
        return "performed" if self.ok else str(self.error.get("code", "none"))

    @property
    def error(self) -> Mapping[str, Any]:
        """The error envelope's inside; empty for a performed call."""
        found = self.body.get("error")
        return found if isinstance(found, Mapping) else {}

    @property
    def message(self) -> str:
        """What it says to people."""
        return str(self.error.get("message", ""))

    def __getitem__(self, name: str) -> Any:
        return self.body.get(name)


class Line:
    """A keep-alive connection for one thread and one principal."""

    def __init__(self, address: str, token: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        self._token = token

    def call(self, operation: str, approval: str = "", /, **body: Any) -> Heard:
        """POST one call. OSError or HTTPException when no answer came."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        if approval:
            headers["Guardhouse-Approval"] = approval
        started = time.perf_counter()
        try:
            self._connection.request("POST", f"/v1/{operation}", json.dumps(body), headers)
            answer = self._connection.getresponse()
            value = json.loads(answer.read() or b"{}")
        except BaseException:
            self._connection.close()
            raise
        return Heard(answer.status, value, time.perf_counter() - started)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Player:
    """An agent or a person of the play: who it is and the token it calls with."""

    name: str
    address: str
    token: str = field(repr=False)
    id: str = ""
    trust: int = 0

    def line(self) -> Line:
        """A connection of its own."""
        return Line(self.address, self.token)

    def call(self, operation: str, approval: str = "", /, **body: Any) -> Heard:
        """One call on a connection of its own."""
        line = self.line()
        try:
            return line.call(operation, approval, **body)
        finally:
            line.close()
