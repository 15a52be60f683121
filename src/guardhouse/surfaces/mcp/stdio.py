"""Standard input and output: the same desk, for one client, over a gateway opened in this process."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, Self

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, ErrorData, JSONRPCError, JSONRPCResponse

from guardhouse.surfaces.carrying import Carriage
from guardhouse.surfaces.cli.composition import Opened
from guardhouse.surfaces.mcp import twice
from guardhouse.surfaces.mcp.calling import Caller, House
from guardhouse.surfaces.mcp.server import Desk, refused_call

_LAST_SECONDS = 20.0
"""How long the answers still due are waited for once the input has ended."""


def serve(opened: Opened, token: str, tools: str) -> None:
    """Serve one client on standard input and output until its input ends."""
    logging.getLogger("mcp").setLevel(logging.WARNING)
    settings, gateway = opened.settings, opened.gateway
    caller = Caller(token, tools=tools)
    house = House(
        catalog=gateway.catalog,
        carriage=Carriage(gateway, settings.request_timeout_seconds, watch=opened.approval_state),
        stood=gateway.stood,
        most=settings.max_body_bytes,
    )
    server = Desk(house, lambda _ctx: caller).server()
    lines = _Lines(house, caller)

    async def run() -> None:
        async with stdio_server(stdin=lines) as (incoming, outgoing):  # type: ignore[arg-type]  # it is only iterated
            lines.outgoing = outgoing
            heard = _Heard(outgoing, lines)
            await server.run(incoming, heard, server.create_initialization_options())

    asyncio.run(run())


class _Lines:
    """Standard input line by line, for the SDK; a line that names a field twice is answered here and not handed on.

    The SDK drops what it still works on when its input ends, so the end is told it only once every request that
    was written before has been answered, or after `_LAST_SECONDS`.
    As the SDK would do itself, it moves the stream away, so that no child of this process reads a client's words.
    """

    def __init__(self, house: House, caller: Caller) -> None:
        self._house = house
        self._caller = caller
        self.outgoing: Any = None
        self._due: set[str | int] = set()
        self._answered = asyncio.Event()
        private = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        # Not closed with the file: a thread may wait for its next line until the process ends.
        self._lines = anyio.wrap_file(
            TextIOWrapper(os.fdopen(private, "rb", closefd=False), encoding="utf-8", errors="replace")
        )

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._lines:
            body = line.encode()
            message = twice.named_twice(body)
            if message is None:
                self._expect(body)
                yield line
            else:
                await self._refuse(message, body)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                while self._due:
                    self._answered.clear()
                    await self._answered.wait()

    def answered(self, number: Any) -> None:
        """Note that the request of this id has its answer."""
        self._due.discard(number)
        self._answered.set()

    def _expect(self, body: bytes) -> None:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict) and isinstance(message.get("method"), str):
            number = message.get("id")
            params = message.get("params")
            if message["method"] == "notifications/cancelled" and isinstance(params, dict):
                self._due -= {one for one in self._due if one == params.get("requestId")}
            if isinstance(number, (str, int)) and not isinstance(number, bool):
                self._due.add(number)

    async def _refuse(self, message: Mapping[str, Any], body: bytes) -> None:
        number = message.get("id")
        calls = message.get("method") == "tools/call"
        result = await refused_call(self._house, self._caller, message, body) if calls else {}
        if not isinstance(number, (str, int)) or isinstance(number, bool):
            return
        answer: JSONRPCResponse | JSONRPCError = JSONRPCResponse(jsonrpc="2.0", id=number, result=result)
        if not calls:
            error = ErrorData(code=INVALID_REQUEST, message=twice.WORDS)
            answer = JSONRPCError(jsonrpc="2.0", id=number, error=error)
        await self.outgoing.send(SessionMessage(answer))


class _Heard:
    """The SDK's way out, which notes what has been answered."""

    def __init__(self, inner: Any, lines: _Lines) -> None:
        self._inner = inner
        self._lines = lines

    async def send(self, item: SessionMessage) -> None:
        await self._inner.send(item)
        self._lines.answered(getattr(item.message, "id", None))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
