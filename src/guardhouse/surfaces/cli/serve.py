"""`guardhouse serve`: the gateway, until it is told to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guardhouse.surfaces.cli import operator, render
from guardhouse.surfaces.cli.output import composition_of

if TYPE_CHECKING:
    from guardhouse.surfaces.endpoint import Endpoint


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port to listen on (default 8420; 0 picks a free one).")
    ] = None,
) -> None:
    """Serve the gateway. On a fresh home it prepares one first, as `guardhouse init` does.

    Ends on SIGTERM or Ctrl-C after the calls under way are carried.

    Example: guardhouse serve --port 8420
    """
    composition = composition_of(context)
    settings = composition.settings(**{k: v for k, v in {"host": host, "port": port}.items() if v is not None})
    if settings.resolved_database_url.startswith("sqlite"):
        with render.working("preparing the home"):
            composition.migrate(settings)
            founded = composition.found(settings, settings.workspace, operator.user_name(), further=False)
        if founded.operator_token:
            kept = operator.keep(settings.home, founded.slug, founded.operator_token)
            render.say(f"prepared a new home in {settings.home}; your token is in {kept.name} there", stderr=True)

    def announce(endpoint: Endpoint) -> None:
        render.say(f"guardhouse is listening on {endpoint.address} (process {endpoint.pid})", "bold green", stderr=True)

    composition.serve(settings, announce)
