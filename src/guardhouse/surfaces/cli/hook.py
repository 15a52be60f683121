"""`guardhouse hook`: what an agent's client runs before each tool; people install it and do not call it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from guardhouse.surfaces.hooks import shim


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("hook")(hook)


def hook(
    client: Annotated[str, typer.Argument(help="claude-code, codex, gemini, cursor, copilot or opencode.")],
    config: Annotated[Path, typer.Option(help="The hook's own configuration, as `guardhouse install` wrote it.")],
) -> None:
    """Answer one hook of an agent's client: its payload on standard input, its native answer on standard output.

    `guardhouse install` writes the client's configuration that runs this. Exit 0, or 2 where not even a denial
    could be written, which every client takes for one.

    Example: guardhouse hook claude-code --config FILE
    """
    raise typer.Exit(shim.main([client, "--config", str(config)]))
