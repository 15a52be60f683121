"""Tables: every room's, written out, so that this step stays what it was when the models move on.

On PostgreSQL the entries and payloads lie in segments, range partitions by sequence: eight of 2^20 each, so
that each is a complete subtree of the Merkle tree, and one for what comes after. Segments are added and
detached by the owner's commands only.

On SQLite the narrow protected tables have no rowid, so that no row can be replaced through it. The wide ones
keep theirs, since a row of more than a quarter page would take a page of its own; there a trigger refuses.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SEGMENT = 1 << 20
SEGMENTS = 8


def _segments() -> None:
    for table in ("entry", "payload"):
        for number in range(SEGMENTS):
            first, end = number * SEGMENT, (number + 1) * SEGMENT
            op.execute(f"CREATE TABLE {table}_{number:04d} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({end})")
        op.execute(f"CREATE TABLE {table}_later PARTITION OF {table} DEFAULT")


def upgrade() -> None:
    op.create_table(
        "activation",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(200), nullable=False),
        sa.Column("law", sa.String(200), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by_id", sa.String(200), nullable=False),
        sa.Column("decision_id", sa.String(200), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "agent",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("handle", sa.String(200), nullable=False),
        sa.Column("role", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("trust", sa.Integer, nullable=False),
        sa.Column("profile", sa.String(200), nullable=False),
        sa.Column("delegated_by", sa.String(200), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("retired_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
        sa.UniqueConstraint("workspace_id", "handle", name="agent_handle"),
    )
    op.create_table(
        "approval",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("state", sa.String(200), nullable=False),
        sa.Column("question", sa.String(200), nullable=False),
        sa.Column("principal_kind", sa.String(200), nullable=False),
        sa.Column("principal_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("operation", sa.String(200), nullable=False),
        sa.Column("resource_type", sa.String(200), nullable=False),
        sa.Column("resource_id", sa.Text, nullable=False),
        sa.Column("call_digest", sa.String(200), nullable=False),
        sa.Column("law", sa.String(200), nullable=False),
        sa.Column("decision_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("pending_until", sa.BigInteger, nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("decided_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("grant_until", sa.BigInteger, nullable=False),
        sa.Column("spent_at", sa.BigInteger, nullable=False),
        sa.Column("spent_by", sa.String(200), nullable=False),
        sa.Column("notified_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_index("approval_by_question", "approval", ["workspace_id", "question", "asked_at"])
    op.create_index("approval_by_state", "approval", ["workspace_id", "state", "principal_id"])
    op.create_table(
        "bundle_version",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(200), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "digest"),
    )
    op.create_table(
        "checkpoint",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("tree_size", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "tree_size"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "content",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(200), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "digest"),
    )
    op.create_table(
        "control_order",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("subject_kind", sa.String(200), nullable=False),
        sa.Column("subject_id", sa.String(200), nullable=False),
        sa.Column("state", sa.String(200), nullable=False),
        sa.Column("by_kind", sa.String(200), nullable=False),
        sa.Column("by_id", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_table(
        "entry",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("principal_kind", sa.String(200), nullable=False),
        sa.Column("principal_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("operation", sa.String(200), nullable=False),
        sa.Column("effect", sa.String(200), nullable=False),
        sa.Column("verdict", sa.String(200), nullable=False),
        sa.Column("enforced", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.String(200), nullable=False),
        sa.Column("resource_type", sa.String(200), nullable=False),
        sa.Column("resource_id", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("approval_id", sa.String(200), nullable=False),
        sa.Column("bundle", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "sequence"),
        postgresql_partition_by="RANGE (sequence)",
    )
    op.create_index("entry_by_id", "entry", ["workspace_id", "id"])
    op.create_index("entry_by_operation", "entry", ["workspace_id", "operation", "sequence"])
    op.create_index("entry_by_principal", "entry", ["workspace_id", "principal_id", "sequence"])
    op.create_index("entry_by_time", "entry", ["workspace_id", "at", "sequence"])
    op.create_table(
        "entry_rule",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("rule", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "rule", "sequence"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "erasure",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("by_sequence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "sequence"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fence",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "key"),
    )
    op.create_table(
        "first_outcome",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("call_digest", sa.String(200), nullable=False),
        sa.Column("decision_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "session_id", "key"),
    )
    op.create_index("first_outcome_by_time", "first_outcome", ["workspace_id", "at"])
    op.create_table(
        "lock",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("namespace", sa.String(200), nullable=False),
        sa.Column("agent_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("acquired_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("end_reason", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("metadata_json", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_index("lock_by_entry", "lock", ["workspace_id", "sequence"])
    op.create_index("lock_by_holder", "lock", ["workspace_id", "agent_id", "ended_at"])
    op.create_index(
        "lock_live",
        "lock",
        ["workspace_id", "key"],
        unique=True,
        sqlite_where=sa.text("ended_at = 0"),
        postgresql_where=sa.text("ended_at = 0"),
    )
    op.create_table(
        "observe_mode",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("scope_kind", sa.String(200), nullable=False),
        sa.Column("scope_id", sa.String(200), nullable=False),
        sa.Column("by_id", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_table(
        "payload",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "sequence"),
        postgresql_partition_by="RANGE (sequence)",
    )
    op.create_table(
        "person",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
        sa.UniqueConstraint("workspace_id", "name", name="person_name"),
    )
    op.create_table(
        "quota",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("principal_id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("window_start", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "principal_id", "name"),
    )
    op.create_table(
        "repository",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("registered_by", sa.String(200), nullable=False),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "name"),
    )
    op.create_table(
        "sealed_segment",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("first_sequence", sa.BigInteger, nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("checkpoint", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "first_sequence"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "session",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("principal_kind", sa.String(200), nullable=False),
        sa.Column("principal_id", sa.String(200), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_table(
        "tile",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("level", sa.BigInteger, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "level", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "token",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("hash", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("principal_kind", sa.String(200), nullable=False),
        sa.Column("principal_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "workspace",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("slug", sa.String(200), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("single_person", sa.Boolean, nullable=False),
        sa.Column("approval_pending_seconds", sa.Integer, nullable=False),
        sa.Column("approval_grant_seconds", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_table(
        "workspace_head",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("tree_size", sa.BigInteger, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("standing_version", sa.BigInteger, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id"),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        _segments()


def downgrade() -> None:
    raise RuntimeError("an audit ledger is not taken back; restore a copy instead")
