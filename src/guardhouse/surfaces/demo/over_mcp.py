"""A player that comes over MCP: the official client, one session over streamable HTTP, asked through `call` like any other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from guardhouse.surfaces.demo.line import TIMEOUT_SECONDS, Heard, Player

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from mcp import Client


class McpPlayer:
    """One open MCP session of an agent. `tools` are the names that it is offered."""

    def __init__(self, player: Player, portal: BlockingPortal, client: Client) -> None:
        self.name = player.name
        self.id = player.id
        self._portal = portal
        self._client = client
        self.tools = tuple(tool.name for tool in portal.call(client.list_tools).tools)

    def call(self, operation: str, **arguments: Any) -> Heard:
        """Call one tool. A refusal is a tool result like any other, with the error's status in it."""

        async def called() -> Any:
            return await self._client.call_tool(operation, arguments, read_timeout_seconds=TIMEOUT_SECONDS)

        started = time.perf_counter()
        result = self._portal.call(called)
        body: dict[str, Any] = dict(result.structured_content or {})
        status = int(body.get("error", {}).get("status", 500)) if result.is_error else 200
        return Heard(status, body, time.perf_counter() - started)


@contextmanager
def over_mcp(player: Player) -> Iterator[McpPlayer]:
    """Open a session for a player and end it afterwards."""
    # Imported here: the SDK's client takes longer to load than the other acts to begin.
    from anyio.from_thread import start_blocking_portal
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    with start_blocking_portal() as portal:
        http = create_mcp_http_client(headers={"Authorization": f"Bearer {player.token}"})
        with portal.wrap_async_context_manager(http) as line:
            transport = streamable_http_client(f"{player.address}/mcp?tools=all", http_client=line)
            with portal.wrap_async_context_manager(Client(transport, mode="legacy", cache=None)) as client:
                yield McpPlayer(player, portal, client)
