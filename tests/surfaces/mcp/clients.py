"""The official MCP client on real transports, called from plain tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, TextContent

from tests.server import program

T = TypeVar("T")


@asynccontextmanager
async def over_http(address: str, token: str, *, mode: str = "legacy", query: str = "") -> AsyncIterator[Client]:
    """A client of the door at an address such as `http://127.0.0.1:8420`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with create_mcp_http_client(headers=headers) as http:
        transport = streamable_http_client(f"{address}/mcp{query}", http_client=http)
        async with Client(transport, mode=mode, cache=None) as client:
            yield client


@asynccontextmanager
async def over_stdio(env: dict[str, str], *, mode: str = "legacy") -> AsyncIterator[Client]:
    """A client of `guardhouse mcp`, started as its own process."""
    command, *words = program()
    started = StdioServerParameters(command=command, args=[*words, "mcp"], env=env)
    async with Client(started, mode=mode, cache=None) as client:
        yield client


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run a test's work to its end; a minute is always too long."""

    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await work()

    return asyncio.run(bounded())


def text_of(result: CallToolResult) -> str:
    """What the model reads."""
    assert all(isinstance(part, TextContent) for part in result.content)
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def code_of(result: CallToolResult) -> str:
    """The stable code of a refusal."""
    assert result.is_error, result.structured_content
    body: Any = result.structured_content
    return str(body["error"]["code"])
