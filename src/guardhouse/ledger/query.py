"""Query: search and export entries at a fixed tree size, page by page, honest about what is left."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, Connection, LargeBinary, Select, Text, cast, exists, func, select
from sqlalchemy.sql import ColumnElement

from guardhouse.errors import Refusal
from guardhouse.ledger.tables import ENTRY, ENTRY_RULE, PAYLOAD
from guardhouse.model.canonical import decode, encode
from guardhouse.model.instants import Micros


@dataclass(frozen=True, slots=True)
class Filter:
    """What an entry must satisfy; every part that is given must hold. `since` is inclusive, `until` exclusive."""

    agent_id: str | None = None
    person_id: str | None = None
    session: str | None = None
    operation: str | None = None
    effect: str | None = None
    verdict: str | None = None
    enforced: bool | None = None
    resource_type: str | None = None
    resource: str | None = None
    repository: str | None = None
    rule: str | None = None
    approval_id: str | None = None
    bundle: str | None = None
    decision_id: str | None = None
    since: Micros | None = None
    until: Micros | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first, whether there are more, and where to go on."""

    entries: tuple[dict[str, Any], ...]
    more: bool
    cursor: str


def _rows() -> Select[Any]:
    beside = (PAYLOAD.c.workspace_id == ENTRY.c.workspace_id) & (PAYLOAD.c.sequence == ENTRY.c.sequence)
    return select(
        ENTRY.c.sequence, ENTRY.c.leaf_hash, ENTRY.c.body, PAYLOAD.c.body.label("payload"), PAYLOAD.c.salt
    ).select_from(ENTRY.outerjoin(PAYLOAD, beside))


def _conditions(connection: Connection, workspace_id: str, asked: Filter) -> list[ColumnElement[bool]]:
    plain: dict[str, Any] = {
        "session_id": asked.session,
        "operation": asked.operation,
        "effect": asked.effect,
        "verdict": asked.verdict,
        "enforced": asked.enforced,
        "resource_type": asked.resource_type,
        "resource_id": asked.resource,
        "repository": asked.repository,
        "approval_id": asked.approval_id,
        "bundle": asked.bundle,
        "id": asked.decision_id,
    }
    found = [ENTRY.c[column] == value for column, value in plain.items() if value is not None]
    for kind, principal in (("agent", asked.agent_id), ("person", asked.person_id)):
        if principal is not None:
            found += [ENTRY.c.principal_kind == kind, ENTRY.c.principal_id == principal]
    if asked.since is not None:
        found.append(ENTRY.c.at >= asked.since)
    if asked.until is not None:
        found.append(ENTRY.c.at < asked.until)
    if asked.rule is not None:
        found.append(
            exists().where(
                ENTRY_RULE.c.workspace_id == workspace_id,
                ENTRY_RULE.c.rule == asked.rule,
                ENTRY_RULE.c.sequence == ENTRY.c.sequence,
            )
        )
    if asked.text is not None:
        found.append(_holds(connection, asked.text))
    return found


def _holds(connection: Connection, text: str) -> ColumnElement[bool]:
    """Whether the payload's bytes hold a text, exactly as JSON writes it; portable, without patterns."""
    needle = encode(text)[1:-1]
    if connection.dialect.name == "sqlite":
        return func.instr(PAYLOAD.c.body, needle) > 0
    return func.position(cast(needle, LargeBinary).op("IN")(PAYLOAD.c.body)) > 0


def search(
    connection: Connection,
    workspace_id: str,
    asked: Filter,
    *,
    tree_size: int,
    limit: int = 100,
    cursor: str = "",
) -> Page:
    """Entries below `tree_size` that satisfy a filter, newest first. Refusal `validation` for a bad cursor."""
    if cursor and not (cursor.isdigit() and len(cursor) < 19):
        raise Refusal("validation", "`cursor` is not one that a page before gave")
    before = min(int(cursor), tree_size) if cursor else tree_size
    query = (
        _rows()
        .where(ENTRY.c.workspace_id == workspace_id, ENTRY.c.sequence < before)
        .where(*_conditions(connection, workspace_id, asked))
        .order_by(ENTRY.c.sequence.desc())
        .limit(limit + 1)
    )
    rows = connection.execute(query).all()
    kept = rows[:limit]
    more = len(rows) > limit
    return Page(tuple(_shown(row) for row in kept), more, str(kept[-1].sequence) if more else "")


def _shown(row: Any) -> dict[str, Any]:
    entry: dict[str, Any] = decode(bytes(row.body))
    if row.payload is not None:
        entry["payload"] = decode(bytes(row.payload))
    return entry


def line(row: Any) -> dict[str, Any]:
    """One entry as a line of an export: everything that verifying it needs, bytes in base64."""
    made: dict[str, Any] = {
        "sequence": row.sequence,
        "leaf_hash": bytes(row.leaf_hash).hex(),
        "body": base64.b64encode(bytes(row.body)).decode(),
        "entry": decode(bytes(row.body)),
    }
    if row.payload is not None:
        made["payload"] = base64.b64encode(bytes(row.payload)).decode()
        made["salt"] = base64.b64encode(bytes(row.salt)).decode()
    return made


def said(connection: Connection, workspace_id: str, decision_ids: Sequence[str], field: str) -> dict[str, str]:
    """One text field of the payloads of decisions, by decision; without those that have no such payload any more."""
    value: ColumnElement[Any]
    if connection.dialect.name == "sqlite":
        value = func.json_extract(cast(PAYLOAD.c.body, Text), f"$.{field}")
    else:
        value = cast(func.convert_from(PAYLOAD.c.body, "UTF8"), JSON).op("->>")(field)
    beside = (PAYLOAD.c.workspace_id == ENTRY.c.workspace_id) & (PAYLOAD.c.sequence == ENTRY.c.sequence)
    found = select(ENTRY.c.id, value.label("value")).select_from(ENTRY.join(PAYLOAD, beside))
    which = found.where(ENTRY.c.workspace_id == workspace_id, ENTRY.c.id.in_(tuple(decision_ids)))
    return {row.id: str(row.value) for row in connection.execute(which) if row.value is not None}


def export(
    connection: Connection,
    workspace_id: str,
    *,
    tree_size: int,
    after: int = -1,
    since: Micros | None = None,
    until: Micros | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """At most `limit` lines in order of sequence, of entries above `after` and below `tree_size`."""
    query = (
        _rows()
        .where(ENTRY.c.workspace_id == workspace_id, ENTRY.c.sequence > after, ENTRY.c.sequence < tree_size)
        .where(*_conditions(connection, workspace_id, Filter(since=since, until=until)))
        .order_by(ENTRY.c.sequence)
        .limit(limit)
    )
    return [line(row) for row in connection.execute(query)]


def export_all(connection: Connection, workspace_id: str, tree_size: int, after: int = -1) -> Iterator[dict[str, Any]]:
    """Every line above `after`, read page by page in bounded memory."""
    while True:
        page = export(connection, workspace_id, tree_size=tree_size, after=after)
        yield from page
        if len(page) < 1000:
            return
        after = page[-1]["sequence"]
