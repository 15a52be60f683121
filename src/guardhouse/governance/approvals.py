"""Approvals: questions to people, bound to one call under one law, answered once, spent once.

The states of a row are `pending`, `granted`, `refused`, `spent` and `replaced` (the law changed while
nobody had answered). That a question or a grant is over by time is judged from its instants and
never written, so no sweeper decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, String, bindparam, func, insert, or_, select, update

from guardhouse.errors import Refusal
from guardhouse.governance.tables import APPROVAL
from guardhouse.model.call import Resource
from guardhouse.model.canonical import encode, keyed_digest
from guardhouse.model.facts import ApprovalFact, Principal, WorkspaceFacts
from guardhouse.model.ids import Ids
from guardhouse.model.instants import DAY, SECOND, Micros
from guardhouse.storage.store import Transaction

MAX_PENDING = 20
"""Open questions a principal may have."""

REFUSAL_STANDS = DAY
"""How long a refused question stays refused."""

DECIDING_ROLES = frozenset({"operator", "security"})
"""The roles that may answer a question."""

Row = Mapping[str, Any]


class Opened(NamedTuple):
    """The question a held call asks: its row, and whether this call opened it."""

    row: Row
    new: bool


def question_digest(
    key: bytes, principal_id: str, operation: str, resource: Mapping[str, Any], call_digest: str
) -> str:
    """What an approval is bound to, as an HMAC under the workspace key. `resource` is in its JSON form."""
    return keyed_digest(key, "approval", encode([principal_id, operation, resource, call_digest]))


def state_of(row: Row, now: Micros, law: str = "") -> str:
    """How a question stands at an instant, for people and programs.

    `pending`, `granted`, `refused`, `spent`, `expired` (nobody answered, or the grant ran out) or
    `stale` (asked under another law than `law`, when one is given).
    """
    state = str(row["state"])
    if state == "replaced" or (law and state in ("pending", "granted") and row["law"] != law):
        return "stale"
    if state == "pending" and now >= row["pending_until"]:
        return "expired"
    if state == "granted" and now >= row["grant_until"]:
        return "expired"
    return state


_RANKED = select(
    APPROVAL,
    func.row_number()
    .over(partition_by=APPROVAL.c.question, order_by=(APPROVAL.c.asked_at.desc(), APPROVAL.c.sequence.desc()))
    .label("rank"),
).where(
    APPROVAL.c.workspace_id == bindparam("workspace"),
    APPROVAL.c.question.in_(bindparam("questions", expanding=True)),
)
_LATEST = _RANKED.subquery("latest")
_READ_FOR = select(APPROVAL).where(
    APPROVAL.c.workspace_id == bindparam("workspace"),
    or_(
        APPROVAL.c.id.in_(bindparam("presented", expanding=True)),
        APPROVAL.c.id.in_(select(_LATEST.c.id).where(_LATEST.c.rank == 1)),
    ),
)


def read_for(
    tx: Transaction, workspace_id: str, presented_ids: Iterable[str], questions: Iterable[str]
) -> list[dict[str, Any]]:
    """The rows presented by id and the latest row of each question, in one statement for a whole train."""
    presented, asked = sorted(set(presented_ids)), sorted(set(questions))
    if not presented and not asked:
        return []
    parameters = {"workspace": workspace_id, "presented": presented, "questions": asked}
    return tx.rows(_READ_FOR, parameters)


_PENDING = (
    select(APPROVAL.c.principal_id, func.count().label("open"))
    .where(
        APPROVAL.c.workspace_id == bindparam("workspace"),
        APPROVAL.c.state == "pending",
        APPROVAL.c.principal_id.in_(bindparam("principals", expanding=True)),
        APPROVAL.c.pending_until > bindparam("now"),
        or_(bindparam("law", type_=String) == "", APPROVAL.c.law == bindparam("law")),
    )
    .group_by(APPROVAL.c.principal_id)
)


def pending_counts(
    tx: Transaction, workspace_id: str, principal_ids: Iterable[str], now: Micros, law: str = ""
) -> dict[str, int]:
    """How many open questions each principal has, in one statement; those with none are left out.

    With `law`, only those asked under it: a question that the law has made stale blocks nobody.
    """
    principals = sorted(set(principal_ids))
    if not principals:
        return {}
    parameters = {"workspace": workspace_id, "principals": principals, "now": now, "law": law}
    return {row["principal_id"]: row["open"] for row in tx.rows(_PENDING, parameters)}


def choose(rows: Iterable[Row], presented_id: str, question: str) -> Row | None:
    """The row that speaks for a call: the one it presents, else the latest of its question.

    A spent or replaced row is found by nobody; it can only be presented.
    """
    latest: Row | None = None
    for row in rows:
        if presented_id and row["id"] == presented_id:
            return row
        if (
            row["question"] == question
            and row["state"] not in ("spent", "replaced")
            and (latest is None or _age(row) > _age(latest))
        ):
            latest = row
    return None if presented_id else latest


def _age(row: Row) -> tuple[int, int]:
    return row["asked_at"], row["sequence"]


def fact_of(row: Row, question: str, presented_id: str) -> ApprovalFact:
    """The row as the gates may know it: instants and states, no verdict. `presented_id`: what the call presents, or ""."""
    return ApprovalFact(
        id=row["id"],
        state=row["state"],
        bound=row["question"] == question,
        presented=row["id"] == presented_id,
        law=row["law"],
        pending_until=row["pending_until"],
        grant_until=row["grant_until"],
        decided_at=row["decided_at"],
    )


def open_question(
    tx: Transaction,
    ids: Ids,
    key: bytes,
    *,
    workspace: WorkspaceFacts,
    principal: Principal,
    operation: str,
    resource: Resource,
    call_digest: str,
    law: str,
    decision_id: str,
    sequence: int,
    rules: Sequence[str],
    message: str,
) -> Opened:
    """The question that a held call asks.

    The same open question gives the same row; a live grant or a refusal younger than 24 h gives that
    row; a pending one of another law is replaced. Refusal `too_many_pending` past `MAX_PENDING`.
    """
    question = question_digest(key, principal.id, operation, resource.to_json(), call_digest)
    latest = choose(read_for(tx, workspace.id, (), (question,)), "", question)
    if latest is not None and _stands(latest, tx.now, law):
        return Opened(latest, new=False)
    if latest is not None and latest["state"] == "pending":
        tx.execute(
            update(APPROVAL)
            .where(
                APPROVAL.c.workspace_id == workspace.id, APPROVAL.c.id == latest["id"], APPROVAL.c.state == "pending"
            )
            .values(state="replaced")
        )
    if pending_counts(tx, workspace.id, (principal.id,), tx.now, law).get(principal.id, 0) >= MAX_PENDING:
        raise Refusal(
            "too_many_pending",
            f"{MAX_PENDING} questions of yours wait for a person already",
            retry_after_seconds=60,
        )
    row = {
        "workspace_id": workspace.id,
        "id": ids.new("approval"),
        "state": "pending",
        "question": question,
        "principal_kind": principal.kind,
        "principal_id": principal.id,
        "session_id": principal.session_id,
        "operation": operation,
        "resource_type": resource.type,
        "resource_id": resource.id,
        "call_digest": call_digest,
        "law": law,
        "decision_id": decision_id,
        "sequence": sequence,
        "rules": encode(sorted(rules)).decode(),
        "message": message,
        "asked_at": tx.now,
        "pending_until": tx.now + workspace.approval_pending_seconds * SECOND,
        "decided_at": 0,
        "decided_by": "",
        "reason": "",
        "grant_until": 0,
        "spent_at": 0,
        "spent_by": "",
        "notified_at": tx.now,
    }
    tx.execute(insert(APPROVAL).values(row))
    return Opened(row, new=True)


def _stands(row: Row, now: Micros, law: str) -> bool:
    """Whether asking again leads to this very row. A refusal outlives a change of law."""
    if row["state"] == "refused":
        return bool(now < row["decided_at"] + REFUSAL_STANDS)
    return state_of(row, now, law) in ("pending", "granted")


def notice(row: Row) -> tuple[str, Mapping[str, Any]]:
    """What people are told when a question opens: for `Context.after_commit`, once, by whoever opened it."""
    return "approval_asked", {
        "approval_id": row["id"],
        "workspace_id": row["workspace_id"],
        "operation": row["operation"],
        "resource": {"type": row["resource_type"], "id": row["resource_id"]},
        "agent_id": row["principal_id"],
        "message": row["message"],
    }


def get(tx: Transaction, workspace_id: str, approval_id: str) -> dict[str, Any]:
    """One question's row; Refusal `not_found`."""
    row = find(tx.connection, workspace_id, approval_id)
    if row is None:
        raise Refusal("not_found", f"there is no approval `{approval_id}`")
    return row


def find(connection: Connection, workspace_id: str, approval_id: str) -> dict[str, Any] | None:
    """One question's row, or None."""
    found = select(APPROVAL).where(APPROVAL.c.workspace_id == workspace_id, APPROVAL.c.id == approval_id)
    row = connection.execute(found).mappings().first()
    return dict(row) if row is not None else None


def watched(connection: Connection, workspace_id: str, approval_id: str, now: Micros) -> str:
    """How a question stands, for whoever holds the line and may not write; "" when there is none."""
    row = find(connection, workspace_id, approval_id)
    return state_of(row, now) if row is not None else ""


def grant(
    tx: Transaction, workspace: WorkspaceFacts, caller: Principal, approval_id: str, law: str, reason: str = ""
) -> dict[str, Any]:
    """Say yes to a pending question; the row after. `law` is the law in force."""
    return _decide(tx, workspace, caller, approval_id, law, reason, "granted")


def refuse(
    tx: Transaction, workspace: WorkspaceFacts, caller: Principal, approval_id: str, reason: str
) -> dict[str, Any]:
    """Say no to a pending question; the row after."""
    return _decide(tx, workspace, caller, approval_id, "", reason, "refused")


def _decide(
    tx: Transaction,
    workspace: WorkspaceFacts,
    caller: Principal,
    approval_id: str,
    law: str,
    reason: str,
    state: str,
) -> dict[str, Any]:
    row = get(tx, workspace.id, approval_id)
    if caller.kind != "person" or not DECIDING_ROLES.intersection(caller.roles):
        raise Refusal("wrong_role", "only an operator or a security person decides an approval")
    if row["principal_id"] == caller.id and not workspace.single_person:
        raise Refusal("own_question", "nobody decides their own question; ask another person")
    stands = state_of(row, tx.now, law)
    if stands != "pending":
        code = {"expired": "approval_expired", "stale": "approval_stale"}.get(stands, "already_decided")
        raise Refusal(code, f"approval `{approval_id}` is {stands}, not pending", state=stands)
    decided = {
        "state": state,
        "decided_at": tx.now,
        "decided_by": caller.id,
        "reason": reason,
        "grant_until": tx.now + workspace.approval_grant_seconds * SECOND if state == "granted" else 0,
    }
    changed = tx.execute(
        update(APPROVAL)
        .where(APPROVAL.c.workspace_id == workspace.id, APPROVAL.c.id == approval_id, APPROVAL.c.state == "pending")
        .values(decided)
    )
    if changed.rowcount != 1:
        raise Refusal("already_decided", f"approval `{approval_id}` was decided meanwhile")
    return row | decided


def spend(tx: Transaction, workspace_id: str, approval_id: str, decision_id: str, now: Micros) -> None:
    """Use a grant up, exactly once; Refusal `approval_spent` when it is not there to be used."""
    changed = tx.execute(
        update(APPROVAL)
        .where(
            APPROVAL.c.workspace_id == workspace_id,
            APPROVAL.c.id == approval_id,
            APPROVAL.c.state == "granted",
            APPROVAL.c.grant_until > now,
        )
        .values(state="spent", spent_at=now, spent_by=decision_id)
    )
    if changed.rowcount != 1:
        raise Refusal("approval_spent", f"approval `{approval_id}` was used already or its grant ran out")


def listed(
    tx: Transaction, workspace_id: str, *, state: str = "", principal_id: str = "", limit: int, before: str = ""
) -> list[dict[str, Any]]:
    """At most `limit` questions before an id, newest first. `pending` and `granted` leave out what has run out."""
    found = select(APPROVAL).where(APPROVAL.c.workspace_id == workspace_id)
    if state:
        found = found.where(APPROVAL.c.state == state)
    if state == "pending":
        found = found.where(APPROVAL.c.pending_until > tx.now)
    if state == "granted":
        found = found.where(APPROVAL.c.grant_until > tx.now)
    if principal_id:
        found = found.where(APPROVAL.c.principal_id == principal_id)
    if before:
        found = found.where(APPROVAL.c.id < before)
    return tx.rows(found.order_by(APPROVAL.c.id.desc()).limit(limit))
