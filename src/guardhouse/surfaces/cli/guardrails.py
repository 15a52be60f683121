"""`guardhouse guardrails`: how well the guardrail packs judge commands whose right verdict is known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardhouse.errors import InvalidInput
from guardhouse.surfaces.cli import render
from guardhouse.surfaces.cli.output import Json, composition_of

if TYPE_CHECKING:
    from guardhouse.guardrails.scoring import Row
    from guardhouse.guardrails.text import Packs

guardrails = typer.Typer(help="Measure the guardrail packs.", no_args_is_help=True)

_COLUMNS = ("group", "rows", "detect", "gate", "block", "false positive", "false block")


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(guardrails, name="guardrails")


@guardrails.command("score")
def score(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled commands, one JSON object a line.")],
    policies: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The policies to score; the shipped ones when left out.")
    ] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="List the rows that were judged otherwise.")] = False,
    json: Json = False,
) -> None:
    """Judge labelled commands and print how often the packs agree, by scope, source and category. Nothing is run.

    A row has `command` and `expected` (allow, warn, ask, block), and if wanted `category`, `source`, `strength` (strong, weak),
    `scope` (core, extended), `kind`, `cwd` and `tool`. Rates are percent: detect, gate (ask or block) and block of what should be
    stopped; false positive (ask or block) and false block of what should pass. The score is scope core with strong labels.
    Verdicts are those for an agent without trust and without overrides; latency is processor time in microseconds, and
    leaves out loading the SQL reader, which a gateway does once.

    Example: guardhouse guardrails score rows.jsonl --wrong
    """
    from guardhouse.guardrails import scoring

    rows = scoring.read_rows(_bytes(file), str(file))
    with render.working("loading the policies", shown=not json):
        packs = composition_of(context).load_bundle(policies).packs
    verdicts, taken = _judged(packs, rows, shown=not json)
    groups = scoring.groups(rows, verdicts)
    found = [(row, got) for row, got in zip(rows, verdicts, strict=True) if scoring.disagrees(row, got)]
    taken.sort()
    latency = {"p50": taken[len(taken) // 2], "p99": taken[len(taken) * 99 // 100], "max": taken[-1]}
    if json:
        answer: dict[str, Any] = {
            "file": str(file),
            "rows": len(rows),
            "packs": packs.digest,
            "groups": {name: asdict(rates) for name, rates in groups.items()},
            "latency_us": {name: round(value, 1) for name, value in latency.items()},
        }
        if wrong:
            answer["wrong"] = [asdict(row) | {"verdict": got} for row, got in found]
        render.print_json(answer)
        return
    shown = [_line(name, asdict(rates)) for name, rates in groups.items()]
    render.table(f"{len(rows)} rows", _COLUMNS, shown, "there are no rows")
    told = ", ".join(f"{name} {value:.0f}" for name, value in latency.items())
    render.say(f"processor time for one text, in microseconds: {told}")
    if wrong:
        for row, got in found:
            where = f"{file}:{row.line}: {row.scope} {row.strength} {row.category or '-'}"
            render.say(f"{where}: expected {row.expected}, got {got}: {render.plain(packs.redact(row.command))}")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"`{file}` cannot be read: {error.strerror or 'not a file'}") from error


def _judged(packs: Packs, rows: Sequence[Row], *, shown: bool) -> tuple[list[str], list[float]]:
    """Each row's verdict, and the microseconds of processor time that it took; nothing is answered from memory."""
    from guardhouse.guardrails import sql
    from guardhouse.guardrails.scoring import verdict
    from guardhouse.guardrails.text import Examined
    from guardhouse.surfaces.collecting import Collecting

    verdicts, taken = [], []
    sql.events("SELECT 1")  # the reader is loaded by the first text that needs it
    collecting = Collecting(lambda: 1)  # as in a gateway that serves
    collecting.begin()
    collecting.settle()
    with render.working("judging", len(rows), shown=shown) as advance:
        for row in rows:
            # The field is part of what the engine remembers a text by, so that a repeated command is judged again.
            text = Examined(f"line {row.line}", row.command, row.kind, row.cwd, row.tool)
            started = time.thread_time_ns()
            verdicts.append(verdict(packs, text))
            taken.append((time.thread_time_ns() - started) / 1000)
            advance(1)
    return verdicts, taken


def _line(name: str, rates: dict[str, Any]) -> dict[str, Any]:
    told = {key.replace("_", " "): "-" if value is None else value for key, value in rates.items()}
    return told | {"group": name}
