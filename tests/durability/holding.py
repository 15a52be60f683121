"""A line to PostgreSQL that can be held: everything passes, but a COMMIT waits, and so does its acknowledgement.

`Line.commits` tells of each COMMIT twice: `asked` when the client has sent it and the server has not seen it,
`acknowledged` when the server has answered and the client does not know. Either waits until `release`.
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
    _go: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self._go.set()


@dataclass
class Line:
    """The held line: its address for a client, and the commits that wait."""

    url: str
    commits: queue.Queue[Held] = field(default_factory=queue.Queue)
    startup: list[bytes] = field(default_factory=list)
    holding: bool = False

    def hold(self, what: str) -> None:
        if self.holding:
            held = Held(what)
            self.commits.put(held)
            held._go.wait(30)

    def next(self, what: str) -> Held:
        """The next commit to wait, which must wait where it is said."""
        held = self.commits.get(timeout=30)
        assert held.what == what, held
        return held


def _pump(source: socket.socket, target: socket.socket, line: Line, what: str) -> None:
    with contextlib.suppress(OSError):
        first = what == "asked"
        while data := source.recv(65_536):
            if first:
                line.startup.append(data)
                first = False
            if _COMMIT in data:
                line.hold(what)
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
        open_sockets: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = _reach(probe.info)
                    open_sockets.extend((client, server))
                    for pair in ((client, server, line, "asked"), (server, client, line, "acknowledged")):
                        threading.Thread(target=_pump, args=pair, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield line
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for one in open_sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
