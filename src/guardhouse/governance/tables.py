"""The tables of standing. A database trigger on each raises the workspace's standing-version.

Rows that change on ordinary calls (quota, approval, presence) stand apart from those that bind the
cached standing, so that ordinary work never discards a cache.
"""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import SQLModel

from guardhouse.storage.columns import counter, identifier, instant, json_text, raw, small, table_of, text


class Workspace(SQLModel, table=True):
    """A tenant: its own ledger, agents, law and order. `key` is the HMAC key of its matching digests."""

    __tablename__ = "workspace"
    id: str = identifier(key=True)
    slug: str = identifier(unique=True)
    key: bytes = raw()
    single_person: bool = False
    approval_pending_seconds: int = small(default=86_400)
    approval_grant_seconds: int = small(default=3_600)
    created_at: int = instant()
    created_by: str = identifier(default="")


class Agent(SQLModel, table=True):
    """A registered agent. Trust 0 is suspended. `delegated_by` is the agent it acts for, or ""."""

    __tablename__ = "agent"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    handle: str = identifier()
    role: str = identifier()
    owner: str = identifier(default="")
    trust: int = small()
    profile: str = identifier(default="")
    delegated_by: str = identifier(default="")
    created_at: int = instant()
    retired_at: int = instant(default=0)
    __table_args__ = (UniqueConstraint("workspace_id", "handle", name="agent_handle"),)


class Person(SQLModel, table=True):
    """A person, with the roles they may act in: `operator`, `security`, `auditor` (JSON list)."""

    __tablename__ = "person"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    name: str = identifier()
    roles: str = json_text()
    created_at: int = instant()
    disabled_at: int = instant(default=0)
    __table_args__ = (UniqueConstraint("workspace_id", "name", name="person_name"),)


class Session(SQLModel, table=True):
    """One running instance of a principal. Every token has one."""

    __tablename__ = "session"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    principal_kind: str = identifier()
    principal_id: str = identifier()
    repository: str = text(default="")
    started_at: int = instant()
    expires_at: int = instant(default=0)
    revoked_at: int = instant(default=0)
    label: str = text(default="")


class Token(SQLModel, table=True):
    """A bearer token, stored only as its SHA-256. `revoked_at` may lie ahead: rotation leaves ten minutes.

    `issued_under` is the token that it was lent under, or "": it ends when that one does.
    """

    __tablename__ = "token"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    hash: str = identifier(unique=True)
    kind: str = identifier()
    principal_kind: str = identifier()
    principal_id: str = identifier()
    session_id: str = identifier()
    issued_at: int = instant()
    expires_at: int = instant()
    revoked_at: int = instant(default=0)
    label: str = text(default="")
    issued_under: str = identifier(default="")
    __table_args__ = (Index("token_by_issuer", "workspace_id", "issued_under"),)


class ControlOrder(SQLModel, table=True):
    """A pause, suspension or stop of an agent or the whole workspace (subject_id = workspace id)."""

    __tablename__ = "control_order"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    subject_kind: str = identifier()
    subject_id: str = identifier()
    state: str = identifier()
    by_kind: str = identifier()
    by_id: str = identifier()
    reason: str = text(default="")
    set_at: int = instant()
    until: int = instant(default=0)
    ended_at: int = instant(default=0)


class ObserveMode(SQLModel, table=True):
    """Observe instead of enforce, for a scope (`workspace`, `agent`, `role`, `pack`), until a fixed end."""

    __tablename__ = "observe_mode"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    scope_kind: str = identifier()
    scope_id: str = identifier()
    by_id: str = identifier()
    reason: str = text(default="")
    set_at: int = instant()
    until: int = instant()
    ended_at: int = instant(default=0)


class Repository(SQLModel, table=True):
    """A repository that a person vouched for: only then may a permit rest on its name."""

    __tablename__ = "repository"
    workspace_id: str = identifier(key=True)
    name: str = identifier(key=True)
    registered_by: str = identifier()
    registered_at: int = instant()


class Quota(SQLModel, table=True):
    """What a principal has used of a limit in a window; `suppressed` counts calls the door refused from memory."""

    __tablename__ = "quota"
    workspace_id: str = identifier(key=True)
    principal_id: str = identifier(key=True)
    name: str = identifier(key=True)
    window_start: int = instant()
    used: int = counter(default=0)


class Approval(SQLModel, table=True):
    """A question to a person, and its answer. `question` is the HMAC of what it is bound to."""

    __tablename__ = "approval"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    state: str = identifier()
    question: str = identifier()
    principal_kind: str = identifier()
    principal_id: str = identifier()
    session_id: str = identifier(default="")
    operation: str = identifier()
    resource_type: str = identifier()
    resource_id: str = text()
    call_digest: str = identifier()
    law: str = identifier()
    decision_id: str = identifier()
    sequence: int = counter(default=-1)
    rules: str = json_text(default="[]")
    message: str = text(default="")
    asked_at: int = instant()
    pending_until: int = instant()
    decided_at: int = instant(default=0)
    decided_by: str = identifier(default="")
    reason: str = text(default="")
    grant_until: int = instant(default=0)
    spent_at: int = instant(default=0)
    spent_by: str = identifier(default="")
    notified_at: int = instant(default=0)
    __table_args__ = (
        Index("approval_by_question", "workspace_id", "question", "asked_at"),
        Index("approval_by_state", "workspace_id", "state", "principal_id"),
    )


class Refused(SQLModel, table=True):
    """How often a session was refused the same thing. `question` is an HMAC of what was examined."""

    __tablename__ = "refused"
    workspace_id: str = identifier(key=True)
    session_id: str = identifier(key=True)
    question: str = identifier(key=True)
    times: int = counter()
    last_at: int = instant()
    __table_args__ = (Index("refused_by_time", "workspace_id", "last_at"),)


class DecisionGrant(SQLModel, table=True):
    """A person's leave for one agent to do what one decision refused. `question` is the HMAC of what it is bound to."""

    __tablename__ = "decision_grant"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    agent_id: str = identifier()
    question: str = identifier()
    law: str = identifier()
    decision_id: str = identifier()
    sequence: int = counter()
    rules: str = json_text(default="[]")
    once: bool = True
    granted_by: str = identifier()
    reason: str = text(default="")
    granted_at: int = instant()
    expires_at: int = instant()
    spent_at: int = instant(default=0)
    spent_by: str = identifier(default="")
    revoked_at: int = instant(default=0)
    revoked_by: str = identifier(default="")
    __table_args__ = (Index("decision_grant_by_question", "workspace_id", "question", "agent_id"),)


class WrongVerdict(SQLModel, table=True):
    """A decision whose verdict a person says is wrong, and what it should have been. Its text stays in the ledger."""

    __tablename__ = "wrong_verdict"
    workspace_id: str = identifier(key=True)
    sequence: int = counter(key=True)
    decision_id: str = identifier()
    expected: str = identifier()
    by_id: str = identifier()
    reason: str = text(default="")
    at: int = instant()


WORKSPACE = table_of(Workspace)
AGENT = table_of(Agent)
PERSON = table_of(Person)
SESSION = table_of(Session)
TOKEN = table_of(Token)
CONTROL_ORDER = table_of(ControlOrder)
OBSERVE_MODE = table_of(ObserveMode)
REPOSITORY = table_of(Repository)
QUOTA = table_of(Quota)
APPROVAL = table_of(Approval)
REFUSED = table_of(Refused)
DECISION_GRANT = table_of(DecisionGrant)
WRONG_VERDICT = table_of(WrongVerdict)

STANDING_TABLES = (
    "workspace",
    "agent",
    "person",
    "session",
    "token",
    "control_order",
    "observe_mode",
    "repository",
    "activation",
)
"""Tables whose every change raises the standing-version, by trigger."""
