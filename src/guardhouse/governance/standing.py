"""Standing: who a token stands for and how the workspace stands, read in one statement a kind.

Everything read here comes from tables whose triggers raise the standing-version, so a reader may
keep it for as long as that version holds. Instants are kept as they are and never judged here.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    String,
    and_,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from guardhouse.errors import Refusal
from guardhouse.governance.tables import (
    AGENT,
    CONTROL_ORDER,
    OBSERVE_MODE,
    PERSON,
    REPOSITORY,
    SESSION,
    TOKEN,
    WORKSPACE,
)
from guardhouse.model.canonical import decode
from guardhouse.model.facts import Control, Observation, Principal, WorkspaceFacts
from guardhouse.model.ids import Ids

MAX_DELEGATION = 8
"""The longest chain of delegators above an agent."""

TOKEN_KINDS = ("agent", "person", "session")

_SECRET_BYTES = 32


HOUSE_MARK = "system"
"""Stands where others' token hashes stand. No text has this hash, so no token leads to the house."""
HOUSE = Principal("system", "system")
"""The house itself, as which only housekeeping calls: it frees what is lapsed, and has no token and no session."""


def hash_token(text: str) -> str:
    """The hexadecimal SHA-256 of a token's text: the only form in which a token is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def mint(ids: Ids, kind: str) -> tuple[str, str]:
    """A new token's text and its hash: `gdh_<kind>_<token id>_<43 characters>`, 256 random bits."""
    if kind not in TOKEN_KINDS:
        raise ValueError(f"no token of kind `{kind}`")
    secret = base64.urlsafe_b64encode(ids.secret(_SECRET_BYTES)).rstrip(b"=").decode()
    text = f"gdh_{kind}_{ids.new('token').removeprefix('tok_')}_{secret}"
    return text, hash_token(text)


def token_id_of(text: str) -> str:
    """The id of the token row that a token's text names; ValueError when the text has another shape."""
    parts = text.split("_", 3)
    if len(parts) != 4 or parts[0] != "gdh" or parts[1] not in TOKEN_KINDS or not parts[2]:
        raise ValueError("not a token of ours")
    return f"tok_{parts[2]}"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a token belongs: enough to route a call, never enough to decide one."""

    workspace_id: str
    principal_kind: str
    principal_id: str
    session_id: str
    repository: str
    handle: str
    key: bytes = field(repr=False)


_LOCATE = (
    select(
        TOKEN.c.workspace_id,
        TOKEN.c.principal_kind,
        TOKEN.c.principal_id,
        TOKEN.c.session_id,
        SESSION.c.repository,
        WORKSPACE.c.key,
        func.coalesce(AGENT.c.handle, PERSON.c.name, "").label("handle"),
    )
    .select_from(TOKEN)
    .join(WORKSPACE, WORKSPACE.c.id == TOKEN.c.workspace_id)
    .outerjoin(SESSION, and_(SESSION.c.workspace_id == TOKEN.c.workspace_id, SESSION.c.id == TOKEN.c.session_id))
    .outerjoin(AGENT, and_(AGENT.c.workspace_id == TOKEN.c.workspace_id, AGENT.c.id == TOKEN.c.principal_id))
    .outerjoin(PERSON, and_(PERSON.c.workspace_id == TOKEN.c.workspace_id, PERSON.c.id == TOKEN.c.principal_id))
    .where(TOKEN.c.hash == bindparam("hash"))
)


def locate_token(connection: Connection, token_hash: str) -> Located | None:
    """The workspace and principal behind a token hash, or None. A hint for routing: the train reads again."""
    row = connection.execute(_LOCATE, {"hash": token_hash}).mappings().first()
    if row is None:
        return None
    return Located(
        row["workspace_id"],
        row["principal_kind"],
        row["principal_id"],
        row["session_id"],
        row["repository"] or "",
        row["handle"],
        bytes(row["key"]),
    )


def _principals_statement() -> Any:
    """Tokens with their session and owner, and one row a link of the owner's delegation chain."""
    workspace = bindparam("workspace", type_=String)
    held = (
        select(TOKEN)
        .where(TOKEN.c.workspace_id == workspace, TOKEN.c.hash.in_(bindparam("hashes", expanding=True)))
        .cte("held")
    )
    seed = (
        select(
            AGENT.c.id.label("root"),
            AGENT.c.id.label("id"),
            AGENT.c.delegated_by.label("above"),
            AGENT.c.trust,
            AGENT.c.profile,
            AGENT.c.retired_at,
            literal_column("0", Integer).label("depth"),
        )
        .where(AGENT.c.workspace_id == workspace, AGENT.c.id.in_(select(held.c.principal_id)))
        .cte("chain", recursive=True)
    )
    chain = seed.union_all(
        select(
            seed.c.root,
            AGENT.c.id,
            AGENT.c.delegated_by,
            AGENT.c.trust,
            AGENT.c.profile,
            AGENT.c.retired_at,
            seed.c.depth + 1,
        )
        .join_from(seed, AGENT, AGENT.c.id == seed.c.above)
        .where(AGENT.c.workspace_id == workspace, seed.c.above != "", seed.c.depth <= MAX_DELEGATION)
    )
    barred = exists().where(
        CONTROL_ORDER.c.workspace_id == workspace,
        CONTROL_ORDER.c.subject_kind == "agent",
        CONTROL_ORDER.c.subject_id == chain.c.id,
        CONTROL_ORDER.c.state.in_(("suspended", "stopped")),
        CONTROL_ORDER.c.ended_at == 0,
    )
    return (
        select(
            held.c.hash,
            held.c.id.label("token_id"),
            held.c.principal_kind,
            held.c.principal_id,
            held.c.session_id,
            held.c.expires_at.label("token_expires_at"),
            held.c.revoked_at.label("token_revoked_at"),
            SESSION.c.repository,
            SESSION.c.principal_id.label("session_principal"),
            SESSION.c.expires_at.label("session_expires_at"),
            SESSION.c.revoked_at.label("session_revoked_at"),
            AGENT.c.id.label("agent_id"),
            AGENT.c.role,
            AGENT.c.trust,
            AGENT.c.profile,
            AGENT.c.owner,
            AGENT.c.retired_at,
            PERSON.c.id.label("person_id"),
            PERSON.c.roles,
            PERSON.c.disabled_at,
            chain.c.id.label("link_id"),
            chain.c.above.label("link_above"),
            chain.c.trust.label("link_trust"),
            chain.c.profile.label("link_profile"),
            chain.c.retired_at.label("link_retired_at"),
            chain.c.depth.label("link_depth"),
            barred.label("link_barred"),
        )
        .select_from(held)
        .outerjoin(SESSION, and_(SESSION.c.workspace_id == held.c.workspace_id, SESSION.c.id == held.c.session_id))
        .outerjoin(
            AGENT,
            and_(
                AGENT.c.workspace_id == held.c.workspace_id,
                AGENT.c.id == held.c.principal_id,
                held.c.principal_kind == "agent",
            ),
        )
        .outerjoin(
            PERSON,
            and_(
                PERSON.c.workspace_id == held.c.workspace_id,
                PERSON.c.id == held.c.principal_id,
                held.c.principal_kind == "person",
            ),
        )
        .outerjoin(chain, and_(chain.c.root == AGENT.c.id))
        .order_by(held.c.hash, chain.c.depth)
    )


_PRINCIPALS = _principals_statement()


def read_principals(connection: Connection, workspace_id: str, token_hashes: Iterable[str]) -> dict[str, Principal]:
    """Every known token's principal, by token hash, in one statement. Unknown hashes are left out.

    A delegation chain lends trust only when it is sound: with a cycle, a missing, retired, suspended or
    stopped delegator, or more than `MAX_DELEGATION` of them, nobody stands behind the agent and its
    effective trust is 0. A token without its session, or whose session is another's, stands for nobody.
    """
    hashes = sorted(set(token_hashes))
    if not hashes:
        return {}
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in connection.execute(_PRINCIPALS, {"workspace": workspace_id, "hashes": hashes}).mappings():
        rows.setdefault(row["hash"], []).append(row)  # type: ignore[arg-type]  # RowMapping is a Mapping by str
    made = ((token_hash, _principal(links)) for token_hash, links in rows.items())
    return {token_hash: principal for token_hash, principal in made if principal is not None}


_LINK = select(
    AGENT.c.role,
    AGENT.c.profile,
    AGENT.c.owner,
    AGENT.c.id.label("link_id"),
    AGENT.c.delegated_by.label("link_above"),
    AGENT.c.trust.label("link_trust"),
    AGENT.c.profile.label("link_profile"),
    AGENT.c.retired_at.label("link_retired_at"),
    exists()
    .where(
        CONTROL_ORDER.c.workspace_id == AGENT.c.workspace_id,
        CONTROL_ORDER.c.subject_kind == "agent",
        CONTROL_ORDER.c.subject_id == AGENT.c.id,
        CONTROL_ORDER.c.state.in_(("suspended", "stopped")),
        CONTROL_ORDER.c.ended_at == 0,
    )
    .label("link_barred"),
).where(AGENT.c.workspace_id == bindparam("workspace"), AGENT.c.id == bindparam("agent"))


def read_agent(connection: Connection, workspace_id: str, agent_id: str) -> Principal | None:
    """An agent's standing by its id, as no token shows it: without session, or None when there is none."""
    links: list[Mapping[str, Any]] = []
    above = agent_id
    while above and len(links) <= MAX_DELEGATION + 1:
        link = connection.execute(_LINK, {"workspace": workspace_id, "agent": above}).mappings().first()
        if link is None:
            break
        links.append(link)  # type: ignore[arg-type]  # RowMapping is a Mapping by str
        above = link["link_above"]
    if not links:
        return None
    first = links[0]
    delegation, effective = _chain(links)
    return Principal(
        "agent",
        agent_id,
        role=first["role"],
        trust=first["link_trust"],
        effective_trust=effective,
        profile=first["profile"],
        owner=first["owner"],
        delegation=delegation,
        delegation_profiles=tuple(one["link_profile"] for one in links[1 : len(delegation) + 1]),
        disabled=bool(first["link_retired_at"]),
    )


_NAME = union_all(
    select(AGENT.c.handle.label("name")).where(
        AGENT.c.workspace_id == bindparam("workspace"), AGENT.c.id == bindparam("principal")
    ),
    select(PERSON.c.name.label("name")).where(
        PERSON.c.workspace_id == bindparam("workspace"), PERSON.c.id == bindparam("principal")
    ),
)


def name_of(connection: Connection, workspace_id: str, principal_id: str) -> str:
    """What a principal is called: an agent's handle, also when it is retired, or a person's name; empty for nobody."""
    found = connection.execute(_NAME, {"workspace": workspace_id, "principal": principal_id}).first()
    return str(found[0]) if found is not None else ""


def _principal(links: Sequence[Mapping[str, Any]]) -> Principal | None:
    first = links[0]
    if first["session_principal"] != first["principal_id"]:
        return None
    common: dict[str, Any] = {
        "token_id": first["token_id"],
        "token_expires_at": first["token_expires_at"],
        "token_revoked_at": first["token_revoked_at"],
        "session_id": first["session_id"],
        "session_expires_at": first["session_expires_at"],
        "session_revoked_at": first["session_revoked_at"],
        "repository": first["repository"] or "",
    }
    if first["person_id"]:
        roles = tuple(sorted(decode(first["roles"])))
        return Principal("person", first["person_id"], roles=roles, disabled=bool(first["disabled_at"]), **common)
    if not first["agent_id"]:
        return None
    delegation, effective = _chain(links)
    return Principal(
        "agent",
        first["agent_id"],
        role=first["role"],
        trust=first["trust"],
        effective_trust=effective,
        profile=first["profile"],
        owner=first["owner"],
        delegation=delegation,
        delegation_profiles=tuple(one["link_profile"] for one in links[1 : len(delegation) + 1]),
        disabled=bool(first["retired_at"]),
        **common,
    )


def _chain(links: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], int]:
    """The delegators above the first link, nearest first, and the least trust along the sound chain."""
    seen = {links[0]["link_id"]}
    above: list[str] = []
    trust = links[0]["link_trust"]
    for link in links[1:]:
        if link["link_id"] in seen or len(above) == MAX_DELEGATION:
            return tuple(above), 0
        seen.add(link["link_id"])
        above.append(link["link_id"])
        if link["link_retired_at"] or link["link_barred"]:
            trust = 0
        trust = min(trust, link["link_trust"])
    if links[-1]["link_above"]:
        return tuple(above), 0
    return tuple(above), trust


def _workspace_statement() -> Any:
    controls = select(
        CONTROL_ORDER.c.workspace_id,
        literal("control").label("kind"),
        CONTROL_ORDER.c.id,
        CONTROL_ORDER.c.subject_kind,
        CONTROL_ORDER.c.subject_id,
        CONTROL_ORDER.c.state,
        CONTROL_ORDER.c.until,
        CONTROL_ORDER.c.by_id,
    ).where(CONTROL_ORDER.c.ended_at == 0, CONTROL_ORDER.c.workspace_id == bindparam("workspace"))
    observations = select(
        OBSERVE_MODE.c.workspace_id,
        literal("observation").label("kind"),
        OBSERVE_MODE.c.id,
        OBSERVE_MODE.c.scope_kind,
        OBSERVE_MODE.c.scope_id,
        literal("").label("state"),
        OBSERVE_MODE.c.until,
        OBSERVE_MODE.c.by_id,
    ).where(OBSERVE_MODE.c.ended_at == 0, OBSERVE_MODE.c.workspace_id == bindparam("workspace"))
    orders = union_all(controls, observations).subquery("orders")
    return (
        select(
            WORKSPACE,
            orders.c.kind,
            orders.c.subject_kind,
            orders.c.subject_id,
            orders.c.state,
            orders.c.until,
            orders.c.by_id,
        )
        .select_from(WORKSPACE)
        .outerjoin(orders, orders.c.workspace_id == WORKSPACE.c.id)
        .where(WORKSPACE.c.id == bindparam("workspace"))
        .order_by(orders.c.id)
    )


_WORKSPACE = _workspace_statement()


def read_workspace(connection: Connection, workspace_id: str) -> tuple[WorkspaceFacts, bytes]:
    """The workspace with every order and observation not ended, and its HMAC key, in one statement.

    Refusal `not_found` when there is no such workspace.
    """
    rows = connection.execute(_WORKSPACE, {"workspace": workspace_id}).mappings().all()
    if not rows:
        raise Refusal("not_found", f"there is no workspace `{workspace_id}`")
    first = rows[0]
    controls = tuple(
        Control(row["subject_kind"], row["subject_id"], row["state"], row["until"], row["by_id"])
        for row in rows
        if row["kind"] == "control"
    )
    observations = tuple(
        Observation(row["subject_kind"], row["subject_id"], row["until"])
        for row in rows
        if row["kind"] == "observation"
    )
    facts = WorkspaceFacts(
        id=first["id"],
        single_person=first["single_person"],
        controls=controls,
        observations=observations,
        approval_pending_seconds=first["approval_pending_seconds"],
        approval_grant_seconds=first["approval_grant_seconds"],
    )
    return facts, bytes(first["key"])


def read_repositories(connection: Connection, workspace_id: str) -> frozenset[str]:
    """The names of the repositories that a person vouched for."""
    found = select(REPOSITORY.c.name).where(REPOSITORY.c.workspace_id == workspace_id)
    return frozenset(connection.execute(found).scalars())
