"""`guardhouse ledger segments`: what the owner of a PostgreSQL ledger does with its partitions; see `ledger.segments`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from guardhouse.errors import InvalidInput, SettingsFault
from guardhouse.surfaces.cli import render
from guardhouse.surfaces.cli.output import Json, composition_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from guardhouse.ledger.segments import Segment

segments = typer.Typer(
    help="PostgreSQL: add, seal and detach segments of the ledger, as its owner (GUARDHOUSE_MIGRATION_URL).",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="A segment as `ledger segments list` names it, such as entry_0000.")]


@segments.command("list")
def list_segments(context: typer.Context, json: Json = False) -> None:
    """List the segments that are attached, with the sequences that each holds.

    Example: guardhouse ledger segments list
    """
    from guardhouse.ledger import segments as ledger_segments

    with _owned(context) as connection:
        rows = [_row(one) for one in ledger_segments.listed(connection)]
    if json:
        render.print_json({"segments": rows})
    else:
        render.table("Segments", ("segment", "first", "last"), rows, "no segment is attached: add some")


@segments.command("add")
def add(
    context: typer.Context,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    json: Json = False,
) -> None:
    """Add segments behind the last one. Do it ahead of need: what finds no segment lies in one that is never sealed.

    Example: guardhouse ledger segments add --count 4
    """
    from guardhouse.ledger import segments as ledger_segments

    with _owned(context) as connection, render.working("adding segments", count, shown=not json):
        rows = [_row(one) for one in ledger_segments.add(connection, count)]
    if json:
        render.print_json({"segments": rows})
    else:
        render.table("Added", ("segment", "first", "last"), rows, "nothing was added")


@segments.command("seal")
def seal(
    context: typer.Context,
    name: Name,
    location: Annotated[
        str, typer.Option(help="Where the segment will be kept, in your own words; it stands in the stub.")
    ],
    json: Json = False,
) -> None:
    """Write the stub of a full segment: its root, and a checkpoint that covers it. Reads and rehashes every entry.

    Example: guardhouse ledger segments seal entry_0000 --location "vault 3, tape 17"
    """
    from guardhouse.ledger import segments as ledger_segments

    with _owned(context) as connection, render.working(f"rehashing {name}", shown=not json):
        written = ledger_segments.seal(connection, _named(connection, name), location)
    if json:
        render.print_json({"segment": name, "location": location, "sealed": written})
    else:
        render.say(f"{name} is sealed for {written} more workspaces" if written else f"{name} was sealed already")


@segments.command("detach")
def detach(context: typer.Context, name: Name, json: Json = False) -> None:
    """Take a sealed segment out of the ledger's tables. Its two tables stay until you have dumped and dropped them.

    Run `guardhouse ledger verify` against a checkpoint kept elsewhere before you do.

    Example: guardhouse ledger segments detach entry_0000
    """
    from guardhouse.ledger import segments as ledger_segments

    with _owned(context) as connection, render.working(f"detaching {name}", shown=not json):
        entries, payloads = ledger_segments.detach(connection, _named(connection, name))
    if json:
        render.print_json({"detached": [entries, payloads]})
    else:
        render.say(f"`{entries}` and `{payloads}` stand alone now: dump them, keep them, then drop them")


@contextmanager
def _owned(context: typer.Context) -> Iterator[Connection]:
    """One transaction as the database's owner; SettingsFault where there are no segments, or the owner is not let in."""
    from guardhouse.storage.migrate import owning
    from guardhouse.storage.opening import backend_of, reaching

    settings = composition_of(context).settings()
    url = settings.migration_url or settings.resolved_database_url
    variable = "GUARDHOUSE_MIGRATION_URL" if settings.migration_url else "GUARDHOUSE_DATABASE_URL"
    if backend_of(url, variable) == "sqlite":
        raise SettingsFault("only a PostgreSQL ledger has segments; an SQLite ledger is archived by copying its file")
    with reaching(variable), owning(url) as connection:
        yield connection


def _named(connection: Connection, name: str) -> Segment:
    from guardhouse.ledger import segments as ledger_segments

    known = {one.name: one for one in ledger_segments.listed(connection)}
    if name not in known:
        raise InvalidInput(f"there is no segment `{name}`: `guardhouse ledger segments list` names those there are")
    return known[name]


def _row(segment: Segment) -> dict[str, object]:
    return {"segment": segment.name, "first": segment.first, "last": segment.end - 1}
