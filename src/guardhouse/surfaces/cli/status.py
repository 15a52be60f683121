"""`guardhouse status`: is it running, and is it well?"""

from __future__ import annotations

import http.client
import json as jsonlib
import ssl
from typing import Any
from urllib.parse import urlsplit

import typer

from guardhouse.surfaces.cli import exits, operator, render
from guardhouse.surfaces.cli.door import running
from guardhouse.surfaces.cli.output import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(json: Json = False) -> None:
    """Show the home, whether its gateway runs, and what that says of itself. Exit 69 when none runs.

    Example: guardhouse status
    """
    home = operator.home()
    found = running()
    told: dict[str, Any] = {"home": str(home), "running": found is not None}
    if found is not None:
        told |= {"address": found.address, "process": found.pid, "ready": _ready(found.address)}
    if json:
        render.print_json(told)
    else:
        render.record("", told, skip=("ready",))
        if found is None:
            render.say("  no gateway runs for this home: `guardhouse serve` starts one")
        else:
            render.record("ready", told["ready"])
    raise typer.Exit(exits.OK if found is not None else exits.UNAVAILABLE)


def _ready(address: str) -> dict[str, Any]:
    parts = urlsplit(address)
    host = parts.hostname or ""
    line = http.client.HTTPConnection(host, parts.port, timeout=5)
    if parts.scheme == "https":
        # endpoint.json proved the server; its certificate need not name the loopback address.
        line = http.client.HTTPSConnection(host, parts.port, timeout=5, context=ssl._create_unverified_context())  # noqa: S323
    try:
        line.request("GET", "/readyz")
        value = jsonlib.loads(line.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {"ready": False}
    finally:
        line.close()
    return value if isinstance(value, dict) else {"ready": False}
