"""Standard input and output: the same desk, for one client, over a gateway opened in this process."""

from __future__ import annotations

import asyncio
import logging

from mcp.server.stdio import stdio_server

from guardhouse.surfaces.carrying import Carriage
from guardhouse.surfaces.cli.composition import Opened
from guardhouse.surfaces.mcp.calling import Caller, House
from guardhouse.surfaces.mcp.server import Desk


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

    async def run() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    asyncio.run(run())
