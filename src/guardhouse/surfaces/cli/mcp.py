"""`guardhouse mcp`: the MCP door on standard input and output, for a harness that starts its servers itself."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from guardhouse.errors import Unauthenticated
from guardhouse.surfaces.cli.door import local_settings, running
from guardhouse.surfaces.cli.output import composition_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("mcp")(mcp)


def mcp(
    context: typer.Context,
    tools: Annotated[
        str, typer.Option(help="Tools to show: guard, core or all (default: GUARDHOUSE_MCP_TOOLS, or core).")
    ] = "",
) -> None:
    """Speak MCP on standard input and output, with the token in GUARDHOUSE_TOKEN.

    Forwards to the gateway at GUARDHOUSE_URL, or to the one that serves this home; where none runs,
    it carries the calls itself over the local database.

    Example: guardhouse mcp --tools guard
    """
    from guardhouse.surfaces.mcp import sets

    chosen = tools or os.environ.get("GUARDHOUSE_MCP_TOOLS", "")
    named = sets.named(chosen, "--tools" if tools else "GUARDHOUSE_MCP_TOOLS")
    token = os.environ.get("GUARDHOUSE_TOKEN", "").strip()
    if not token:
        raise Unauthenticated(
            "GUARDHOUSE_TOKEN is not set: give this server the agent's own token, from `guardhouse agents add`"
        )
    address, ours = os.environ.get("GUARDHOUSE_URL", ""), False
    if not address:
        found = running()
        address, ours = (found.address, True) if found is not None else ("", False)
    if address:
        from guardhouse.surfaces.mcp.forwarding import Line, Pipe

        Pipe(Line(address, token, chosen and named, ours=ours), sys.stdout.buffer).run(sys.stdin.buffer)
        return
    composition = composition_of(context)
    with composition.open(local_settings(composition)) as opened:
        from guardhouse.surfaces.mcp import stdio

        opened.start()
        stdio.serve(opened, token, named)
