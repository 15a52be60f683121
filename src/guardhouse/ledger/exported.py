"""Verify an export: a line an entry, with nothing but the file, the verifier keys and a checkpoint kept elsewhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from guardhouse.ledger.checkpoint import split_log
from guardhouse.ledger.keys import Verifier
from guardhouse.ledger.report import Report
from guardhouse.ledger.walk import Item, Walk, compare_checkpoints, erased_by, say_what_is_not_proved, sizes_in


def verify_export(
    path: Path,
    *,
    verifiers: tuple[Verifier, ...] = (),
    outside: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:
    """Verify an export, a line an entry, from its first entry on. It holds no columns, contents or tiles to compare.

    `progress` is told of bytes: (read, all).
    """
    with path.open("rb") as file:
        return _verify_lines(_read(file, path.stat().st_size, progress), verifiers, outside)


def _read(file: Iterable[bytes], size: int, progress: Callable[[int, int], None]) -> Iterator[bytes]:
    done = told = 0
    for line in file:
        done += len(line)
        if done - told >= 1_000_000 or done == size:
            progress(done, size)
            told = done
        if line.strip():
            yield line


def _lines(report: Report, lines: Iterable[bytes]) -> Iterator[tuple[Item, Any]]:
    for number, data in enumerate(lines, start=1):
        try:
            line = json.loads(data)
            payload = base64.b64decode(line["payload"], validate=True) if "payload" in line else None
            salt = base64.b64decode(line["salt"], validate=True) if "salt" in line else None
            body = base64.b64decode(line["body"], validate=True)
            item = Item(line["sequence"], bytes.fromhex(line["leaf_hash"]), body, payload, salt)
            if not report.workspace_id:
                report.workspace_id = json.loads(body)["workspace"]
        except (ValueError, KeyError, TypeError) as error:
            report.fault(-1, f"line {number} is not a line of an export: {type(error).__name__}")
            continue
        yield item, line.get("entry")


def _verify_lines(lines: Iterable[bytes], verifiers: tuple[Verifier, ...], outside: str | None) -> Report:
    report = Report("")
    notes = split_log(outside) if outside is not None else []
    walk = Walk(report, sizes_in(notes))
    missing: dict[str, int] = {}
    erased: set[str] = set()
    for item, readable in _lines(report, lines):
        entry = walk.take(item)
        if entry is None:
            continue
        if readable is not None and readable != entry:
            report.fault(item.sequence, "its readable form does not say what its bytes say")
        if item.payload is None and "payload_digest" in entry:
            missing[entry["id"]] = item.sequence
        elif entry["id"] in missing:
            report.fault(item.sequence, "its decision has an entry already")
        erased |= erased_by(entry)
        walk.tiles.clear()
    if not walk.frontier.size:
        report.fault(-1, "the export holds no entry, so there is nothing to verify")
    report.tree_size, report.root_hash = walk.frontier.size, walk.frontier.root.hex()
    for decision, sequence in missing.items():
        if decision in erased:
            report.erased += 1
        else:
            report.fault(sequence, "its payload is missing and no entry erased it")
    compare_checkpoints(walk, notes, verifiers, outside=True, end=report.tree_size)
    say_what_is_not_proved(report, outside=outside is not None, keys=bool(verifiers))
    report.doubt("an export holds no policy versions and no standing: what entries name by digest was not resolved")
    return report
