"""Mounting: the MCP door inside the HTTP door, loaded with the first request, since the SDK takes a second to load."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from guardhouse.surfaces.http import Door, Receive, Scope, Send
from guardhouse.surfaces.mcp import sets

if TYPE_CHECKING:
    from guardhouse.surfaces.mcp.streamable import Streamable

PATH = "/mcp"


def mount(door: Door, gateway: Any) -> None:
    """Put the MCP door at `/mcp`. SettingsFault for a tool set that does not exist, before anything is served."""
    sets.named(door.settings.mcp_tools, "GUARDHOUSE_MCP_TOOLS")
    door.mount(PATH, _Mounted(door, gateway))


class _Mounted:
    """Builds the application on the first request, beside the event loop, and keeps its sessions running."""

    def __init__(self, door: Door, gateway: Any) -> None:
        self._door = door
        self._gateway = gateway
        self._app: Streamable | None = None
        self._building = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            async with self._building:
                if self._app is None:
                    self._app = await self._built()
        await self._app(scope, receive, send)

    async def _built(self) -> Streamable:
        app = await asyncio.to_thread(self._build)
        up = asyncio.Event()
        self._running = asyncio.create_task(app.run(up))
        waiting = asyncio.create_task(up.wait())
        await asyncio.wait((waiting, self._running), return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(asyncio.CancelledError):
            waiting.cancel()
        return app

    def _build(self) -> Streamable:
        from guardhouse.surfaces.mcp.calling import House
        from guardhouse.surfaces.mcp.streamable import Streamable

        # It tells session ids at `info`, and a session id is half of what opens a session.
        logging.getLogger("mcp").setLevel(logging.WARNING)
        house = House(
            catalog=self._gateway.catalog,
            carriage=self._door.carriage,
            stood=self._gateway.stood,
            most=self._door.settings.max_body_bytes,
            metrics=self._door.metrics,
            access=self._door.access,
        )
        return Streamable(self._door, house, self._gateway.knows)
