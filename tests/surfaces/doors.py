"""A door on a real socket, and the plainest way to talk to it.

`Script` stands on the other side of the door's contract: what it answers is what a gateway may answer,
so that a door's own duties (bytes, times, books) are tested alone. The whole way through a gateway and
a database is tested in test_http_gateway.py.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guardhouse.catalog import Catalog
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.operations import CATALOG
from guardhouse.settings import Settings
from guardhouse.surfaces.endpoint import Endpoint
from guardhouse.surfaces.http import Door
from guardhouse.surfaces.serve import bind, make_server


@dataclass
class Script:
    """Answers by a function, and keeps what came."""

    answer: Callable[[RawCall], Outcome] = lambda raw: Outcome("performed", decision_id="dec_1", result={})
    catalog: Catalog = CATALOG
    came: list[RawCall] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    async def handle_async(self, raw: RawCall) -> Outcome:
        self.came.append(raw)
        return self.answer(raw)

    async def read_again(self, raw: RawCall, outcome: Outcome) -> Outcome:
        self.again.append(outcome.decision_id)
        return self.answer(raw)


@dataclass
class Listening:
    """A door that listens."""

    door: Door
    endpoint: Endpoint
    home: Path
    host: str
    port: int

    def raw(self, data: bytes, *, seconds: float = 10.0) -> bytes:
        """Send bytes and read until the other side closes."""
        with self.connect(seconds) as connection:
            connection.sendall(data)
            return drain(connection)

    def connect(self, seconds: float = 10.0) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=seconds)

    def post(self, operation: str, body: bytes = b"{}", token: str = "t", **headers: str) -> Answer:
        """One POST on its own connection."""
        named = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        if token:
            named.setdefault("Authorization", f"Bearer {token}")
        return parse(self.raw(request("POST", f"/v1/{operation}", body, **named)))

    def get(self, path: str) -> Answer:
        return parse(self.raw(request("GET", path, b"")))


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


def request(method: str, path: str, body: bytes, close: bool = True, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()] + (["Connection: close"] if close else [])
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def drain(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def parse(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


@contextmanager
def listening(gateway: Any, home: Path, *, change: dict[str, Any] | None = None, **options: Any) -> Iterator[Listening]:
    """Serve on a free port in a thread, and end it as SIGTERM would."""
    settings = Settings(**{"home": home, "port": 0} | (change or {}))
    listener = bind(settings)
    told: list[Endpoint] = []
    up = threading.Event()

    def announce(endpoint: Endpoint) -> None:
        told.append(endpoint)
        up.set()

    server, door = make_server(gateway, settings, listener, announce=announce, **options)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        assert up.wait(10)
        host, port = listener.getsockname()[:2]
        yield Listening(door, told[0], home, host, port)
    finally:
        server.should_exit = True
        thread.join(15)
        listener.close()
        assert not thread.is_alive()
