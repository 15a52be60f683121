"""A line to PostgreSQL that can be held: everything passes, but a COMMIT waits, and so does its acknowledgement.

`Line.commits` tells of each COMMIT twice: `asked` when the client has sent it and the server has not seen it,
`acknowledged` when the server has answered and the client does not know. Either waits until `release`, or is
`cut`: the line breaks and what waited is lost. An `asked` one may also be `strand`ed: the client's side breaks, and
the server hears nothing of that until `deliver`, which hands it the COMMIT after all.

`sever` breaks every connection and lets in no other until `mend`.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from sqlalchemy.engine.url import make_url

_COMMIT = b"COMMIT\x00"


@dataclass
class Held:
    """One message that waits."""

    what: str
    fate: str = "release"
    _go: threading.Event = field(default_factory=threading.Event)
    _delivered: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self._go.set()

    def cut(self) -> None:
        self.fate = "cut"
        self._go.set()

    def strand(self) -> None:
        self.fate = "strand"
        self._go.set()

    def deliver(self) -> None:
        self._delivered.set()


@dataclass
class Line:
    """The held line: its address for a client, and the commits that wait."""

    url: str
    commits: queue.Queue[Held] = field(default_factory=queue.Queue)
    startup: list[bytes] = field(default_factory=list)
    holding: bool = False
    severed: bool = False
    sockets: list[socket.socket] = field(default_factory=list)

    def hold(self, what: str) -> Held | None:
        if not self.holding:
            return None
        held = Held(what)
        self.commits.put(held)
        held._go.wait(30)
        return held

    def sever(self) -> None:
        self.severed = True
        _break(*self.sockets)

    def mend(self) -> None:
        self.severed = False

    def next(self, what: str) -> Held:
        """The next commit to wait, which must wait where it is said."""
        held = self.commits.get(timeout=30)
        assert held.what == what, held
        return held


def _break(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, target: socket.socket, line: Line, what: str) -> None:
    with contextlib.suppress(OSError):
        first = what == "asked"
        while data := source.recv(65_536):
            if first:
                line.startup.append(data)
                first = False
            held = line.hold(what) if _COMMIT in data else None
            if held is not None and held.fate == "cut":
                _break(source, target)
                return
            if held is not None and held.fate == "strand":
                _break(source)
                held._delivered.wait(30)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _reach(info: psycopg.ConnectionInfo) -> socket.socket:
    if info.host.startswith("/"):
        reached = socket.socket(socket.AF_UNIX)
        reached.connect(f"{info.host}/.s.PGSQL.{info.port}")
        return reached
    return socket.create_connection((info.host, info.port))


@contextmanager
def held_line(url: str) -> Iterator[Line]:
    """A line to the server of `url`, on a loopback port of its own."""
    with psycopg.connect(url) as probe, socket.create_server(("127.0.0.1", 0)) as listener:
        address = make_url(url)
        kept = {name: value for name, value in address.query.items() if name not in ("host", "port")}
        made = address.set(host="127.0.0.1", port=listener.getsockname()[1], query=kept)
        made = made.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        line = Line(made.render_as_string(hide_password=False))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    if line.severed:
                        client.close()
                        continue
                    server = _reach(probe.info)
                    line.sockets.extend((client, server))
                    for pair in ((client, server, line, "asked"), (server, client, line, "acknowledged")):
                        threading.Thread(target=_pump, args=pair, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield line
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            _break(*line.sockets)
            for one in line.sockets:
                one.close()
