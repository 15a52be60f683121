"""`guardhouse ledger`: verify and export what happened; `evidence` holds the proofs."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli import evidence, exits, following, ground, render, spans
from guardhouse.surfaces.cli.door import Door, open_door
from guardhouse.surfaces.cli.evidence import Key, Workspace
from guardhouse.surfaces.cli.output import Json, composition_of
from guardhouse.surfaces.cli.segments import segments

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from guardhouse.ledger.fsck import Report
    from guardhouse.ledger.keys import Verifier
    from guardhouse.settings import Settings

ledger = typer.Typer(help="Verify, export and prove the ledger.", no_args_is_help=True)

_PAGE = 500
_IDLE_LOOKS = 10


def register(app: typer.Typer) -> None:
    """Add the noun."""
    ledger.add_typer(segments, name="segments")
    app.add_typer(ledger, name="ledger")


@ledger.command("verify")
def verify(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="An export to verify instead of the database.", show_default=False)
    ] = None,
    outside: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINTFILE", help="Checkpoints kept elsewhere; this home's when left out.", show_default=False
        ),
    ] = None,
    key: Key = None,
    workspace: Workspace = "",
    json: Json = False,
) -> None:
    """Verify every entry, payload, digest and checkpoint. Exit 1 on any fault, and say what was not proved.

    It reads the database itself and asks no gateway. Keep a copy of `checkpoints/` and of the verifier
    key on another machine: only against those is a ledger that was rewritten as a whole found out.

    Example: guardhouse ledger verify --outside /mnt/audit/checkpoints.log --key audit.vkey
    """
    settings = composition_of(context).settings()
    known = ground.verifiers(key) if key else ground.own_verifiers(settings)
    for path in (file, outside):
        if path is not None and not path.is_file():
            raise InvalidInput(f"there is no file `{path}`")
    if file is not None:
        reports = [("", _verify_file(file, known, outside))]
    else:
        reports = _verify_database(settings, known, outside, workspace)
    told = [_told(slug, report, bool(key)) for slug, report in reports]
    good = all(one["ok"] for one in told)
    if json:
        render.print_json(told[0] if len(told) == 1 else {"ok": good, "ledgers": told})
    else:
        for one in told:
            _show(one)
    raise typer.Exit(exits.OK if good else exits.FAULT)


@ledger.command("export")
def export(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="At or after this day or RFC 3339 instant.", show_default=False)] = "",
    until: Annotated[str, typer.Option(help="Before this day or RFC 3339 instant.", show_default=False)] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new entries as they come.")] = False,
    after: Annotated[
        int, typer.Option(min=-1, help="Only entries with a higher sequence.", metavar="SEQ", show_default=False)
    ] = -1,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds between looks of --follow, up to ten times as long when idle.")
    ] = 2.0,
    json: Json = False,
) -> None:
    """Print entries in order. With --json, a line an entry with all that verifying needs, for `ledger verify`.

    An export that begins at the first entry can be verified elsewhere, against a checkpoint that is not
    newer; one cut by --since or --after is for reading. Each look is itself a recorded call.

    Example: guardhouse ledger export --json > ledger.jsonl
    """
    if follow and until:
        raise InvalidInput("`--follow` has no end and `--until` is one: leave one of them out")
    asked: dict[str, Any] = {"after": after, "limit": _PAGE}
    asked |= {"since": spans.instant(since)} if since else {}
    asked |= {"until": spans.instant(until)} if until else {}
    put = _put_json if json else _put_text
    if follow:
        following.follow(composition_of(context), _looker(asked, every, put, json))
        return
    with open_door(composition_of(context)) as door, _progress() as advance:
        for page in _pages(door, asked, json):
            put(page)
            advance(len(page))
    sys.stdout.flush()


for _name, _command in evidence.COMMANDS:
    ledger.command(_name)(_command)


def _verify_file(file: Path, known: tuple[Verifier, ...], outside: Path | None) -> Report:
    from guardhouse.ledger import fsck

    told = outside.read_text(encoding="utf-8") if outside else None
    with render.working(f"verifying {file}", file.stat().st_size) as advance:
        return fsck.verify_export(file, verifiers=known, outside=told, progress=_steps(advance))


def _verify_database(
    settings: Settings, known: tuple[Verifier, ...], outside: Path | None, workspace: str
) -> list[tuple[str, Report]]:
    with ground.reading(settings) as connection:
        chosen = ground.workspaces(connection, settings, workspace)
        if outside is not None and len(chosen) > 1:
            chosen = [one for one in chosen if _speaks_of(outside, one[0])] or chosen
        reports = []
        for workspace_id, slug in chosen:
            told = outside or _own_checkpoints(settings, workspace_id)
            reports.append((slug, _verify_one(connection, workspace_id, known, told)))
        return reports


def _speaks_of(outside: Path, workspace_id: str) -> bool:
    return f"guardhouse/{workspace_id}\n" in outside.read_text(encoding="utf-8")


def _own_checkpoints(settings: Settings, workspace_id: str) -> Path | None:
    path = settings.home / "checkpoints" / f"{workspace_id}.log"
    return path if path.is_file() else None


def _verify_one(connection: Connection, workspace_id: str, known: tuple[Verifier, ...], outside: Path | None) -> Report:
    from sqlalchemy import select
    from sqlalchemy.exc import OperationalError

    from guardhouse.ledger import fsck
    from guardhouse.ledger.tables import HEAD

    size = connection.execute(select(HEAD.c.tree_size).where(HEAD.c.workspace_id == workspace_id)).scalar()
    told = outside.read_text(encoding="utf-8") if outside else None
    with render.working(f"verifying {workspace_id}", size if isinstance(size, int) else 0) as advance:
        try:
            return fsck.verify(connection, workspace_id, verifiers=known, outside=told, progress=_steps(advance))
        except OperationalError:
            raise
        except Exception as error:  # noqa: BLE001  # what verifying cannot even read does not hold
            report = fsck.Report(workspace_id)
            report.fault(
                -1, f"the tables hold what no gateway wrote, and verifying cannot go on ({type(error).__name__})"
            )
            return report


def _steps(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """Progress that is told as (done, all), for a bar that is told of steps."""
    before = 0

    def progress(done: int, _all: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return progress


def _told(slug: str, report: Report, key_given: bool) -> dict[str, Any]:
    """A report for programs, with the first bad entry by its sequence and what more was not proved."""
    told = {"workspace": slug} | report.to_json() if slug else report.to_json()
    told["first_bad_entry"] = next((fault.sequence for fault in report.faults if fault.sequence >= 0), None)
    if not key_given:
        told["not_proved"].append(
            "that the verifier key is the right one: it came from this home; give one kept elsewhere with `--key`"
        )
    return told


def _show(told: Mapping[str, Any]) -> None:
    good = told["ok"]
    render.say("the ledger holds" if good else "THE LEDGER DOES NOT HOLD", "bold green" if good else "bold red")
    render.record("", told, skip=("ok", "faults", "not_proved", "formats"))
    for fault in told["faults"]:
        place = f"entry {fault['sequence']}: " if fault["sequence"] >= 0 else ""
        render.say(f"  fault: {place}{render.plain(fault['problem'])}", "red")
    for line in told["not_proved"]:
        render.say(f"  not proved: {line}", "yellow")


def _progress() -> Any:
    """A count on standard error while the entries go into a file or a pipe."""
    from contextlib import nullcontext

    return nullcontext(lambda _steps: None) if sys.stdout.isatty() else render.working("exporting entries")


def _pages(door: Door, asked: Mapping[str, Any], json: bool) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Pages of lines up to where the ledger ended at the first look, so that looking does not lengthen the export."""
    after, end = asked["after"], None
    while True:
        reply = following.answered(door.call("export_audit", {**asked, "after": after}), json)
        end = reply.result["tree_size"] if end is None else end
        lines = [line for line in reply.result["lines"] if line["sequence"] < end]
        yield lines
        after = reply.result["next"]
        if not reply.result["more"] or after >= end - 1:
            return


def _looker(
    asked: dict[str, Any], every: float, put: Callable[[Sequence[Mapping[str, Any]]], None], json: bool
) -> Callable[[Door], float]:
    pause = every

    def look(door: Door) -> float:
        nonlocal pause
        found: list[Mapping[str, Any]] = []
        for page in _pages(door, asked, json):
            put(page)
            found += page
            if page:
                asked["after"] = page[-1]["sequence"]
        sys.stdout.flush()
        # Each look finds at least the entry of the look before it: that alone is no news.
        idle = all(line["entry"]["operation"] == "export_audit" for line in found)
        pause = min(pause * 2, every * _IDLE_LOOKS) if idle else every
        return pause

    return look


def _put_json(lines: Sequence[Mapping[str, Any]]) -> None:
    sys.stdout.write("".join(jsonlib.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _put_text(lines: Sequence[Mapping[str, Any]]) -> None:
    for line in lines:
        entry = line["entry"]
        what = f"{entry['operation']} {entry['resource']['type']} {entry['resource']['id']}"
        parts = (spans.shown(entry["at"]), entry["principal"]["id"], what, entry["effect"], entry["outcome"])
        sys.stdout.write(f"{line['sequence']:>8}  {render.plain('  '.join(parts))}\n")
