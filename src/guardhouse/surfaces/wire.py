"""The wire below the HTTP door: bounds on time and size of request heads, which uvicorn leaves open.

A connection that sends no whole head within `HEAD_SECONDS`, or more than `HEAD_BYTES` of it, is
answered with the usual envelope and closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from guardhouse.surfaces import problem

HEAD_SECONDS = 10.0
HEAD_BYTES = 65_536
_HEAD_TOO_LARGE = f"the request's head is too large: {HEAD_BYTES // 1024} KiB at most, so send fewer or shorter headers"
_NOT_HTTP = "this is not HTTP/1.1: see whether the address wants `http://` or `https://`, and what speaks to it"
_SEGMENT = 262_144
"""The most that one read from the socket brings; the head's bytes are counted in whole reads."""


class JoinedTransport(asyncio.Transport):
    """A transport that sends an answer's head and body with one system call; uvicorn writes them one after the other.

    The first write is held until the second, or until the event loop comes round; nothing is ever reordered.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held = b""
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]  # as uvicorn asks for them, the transport's own
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        elif data:
            self._held = bytes(data)
            self._loop.call_soon(self._let_go)

    def _let_go(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)

    def close(self) -> None:
        self._let_go()
        self._transport.close()

    def abort(self) -> None:
        self._held = b""
        self._transport.abort()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with bounded heads."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._patience: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0
        self._unfinished = 0
        self._too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(JoinedTransport(transport, self.loop))
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._wait_for_head()
            self._unfinished += len(data)
            if self._unfinished > HEAD_BYTES + _SEGMENT:
                self._too_large = True
                self.send_400_response("")
        elif self.cycle is None or (self.cycle.response_complete and self.timeout_keep_alive_task is None):
            self._wait_for_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes, self._unfinished = True, 0, 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_came()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are replaced by ours
        if self._too_large:
            line, text = b"431 Request Header Fields Too Large", _HEAD_TOO_LARGE
        else:
            line, text = b"400 Bad Request", _NOT_HTTP
        self._answer(line, "validation", text)

    def _answer(self, line: bytes, code: str, text: str) -> None:
        envelope = problem.envelope(code, text)
        envelope["error"]["status"] = int(line[:3])
        body = orjson.dumps(envelope)
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write(head % (line, len(body)) + body)
            self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._too_large = True
            raise ValueError("the request's head is too large")

    def _wait_for_head(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(self.head_seconds, self._no_head)

    def _head_came(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _no_head(self) -> None:
        self._patience = None
        told = f"the request's head did not arrive whole within {self.head_seconds:g} seconds: send it again"
        self._answer(b"408 Request Timeout", "request_timeout", told)
