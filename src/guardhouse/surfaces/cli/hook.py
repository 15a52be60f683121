"""`guardhouse hook`: what an agent's client runs before each tool; people install it and do not call it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardhouse.errors import GuardhouseError
from guardhouse.surfaces.hooks import shim


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("hook")(hook)


def hook(
    client: Annotated[str, typer.Argument(help="claude-code, codex, gemini, cursor, copilot or opencode.")],
    config: Annotated[
        Path | None,
        typer.Option(help="The hook's own configuration; by default the one that `install` wrote.", show_default=False),
    ] = None,
) -> None:
    """Answer one hook of an agent's client: its payload on standard input, its native answer on standard output.

    What `guardhouse install` writes runs the same without loading the package. Exit 0, or 2 where not even a denial
    could be written, which every client takes for one.

    Example: guardhouse hook claude-code
    """
    raise typer.Exit(shim.main([client, "--config", str(config if config is not None else _written(client))]))


def _written(client: str) -> Path:
    """The configuration in the home. Where no home can be told, one that is not there: that is answered with a denial."""
    from guardhouse.surfaces.cli import operator
    from guardhouse.surfaces.install import records

    try:
        return records.folder(operator.home()) / f"{client}.json"
    except (GuardhouseError, RuntimeError):
        return Path("/dev/null")
