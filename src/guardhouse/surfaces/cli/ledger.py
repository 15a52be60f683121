"""`guardhouse ledger`: prove what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import exits, render
from guardhouse.surfaces.cli.output import Json, composition_of

ledger = typer.Typer(help="Verify, export and prove the ledger.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(ledger, name="ledger")


@ledger.command("verify")
def verify(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="An export to verify instead of the database.")] = None,
    outside: Annotated[
        Path | None, typer.Option(help="A checkpoint file kept elsewhere; by default this home's.")
    ] = None,
    json: Json = False,
) -> None:
    """Verify every entry, digest, payload and checkpoint. Exit 1 on any fault.

    Example: guardhouse ledger verify --json
    """
    from sqlalchemy import select

    from guardhouse.ledger import fsck, keys
    from guardhouse.ledger.tables import HEAD

    composition = composition_of(context)
    settings = composition.settings()
    verifiers = keys.load(settings.resolved_signing_key_file, create=False).verifiers
    if file is not None:
        told = outside.read_text() if outside else None
        reports = [fsck.verify_export(file, verifiers=verifiers, outside=told)]
    else:
        reports = []
        with composition.open(settings) as opened, opened.store.reading(3600) as connection:
            for workspace_id in connection.execute(select(HEAD.c.workspace_id)).scalars().all():
                path = outside or settings.home / "checkpoints" / f"{workspace_id}.log"
                told = path.read_text() if path.exists() else None
                with render.working(f"verifying {workspace_id}") as advance:
                    reports.append(
                        fsck.verify(
                            connection,
                            workspace_id,
                            verifiers=verifiers,
                            outside=told,
                            progress=lambda _done, _all, advance=advance: advance(1000),  # type: ignore[misc]  # bound now
                        )
                    )
    value = [report.to_json() for report in reports]
    good = all(report.ok for report in reports)
    if json:
        render.print_json(value[0] if len(value) == 1 else {"ok": good, "ledgers": value})
    else:
        for one in value:
            _show(one)
    raise typer.Exit(exits.OK if good else exits.FAULT)


def _show(report: dict[str, Any]) -> None:
    render.say(
        "the ledger holds" if report["ok"] else "THE LEDGER DOES NOT HOLD", "bold green" if report["ok"] else "bold red"
    )
    render.record("", report, skip=("ok", "faults", "not_proved", "formats"))
    for fault in report["faults"]:
        place = f"entry {fault['sequence']}: " if fault["sequence"] >= 0 else ""
        render.say(f"  fault: {place}{fault['problem']}", "red")
    for line in report["not_proved"]:
        render.say(f"  not proved: {line}", "yellow")
