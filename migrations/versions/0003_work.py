"""Work: tasks and what waits for what, handoffs, memories with their full text, presence.

Revision 0003, after 0002. Columns are spelled out, so that this step stays what it was when the models move on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TERMS = "array_to_tsvector(string_to_array(terms, ' '))"
"""What PostgreSQL indexes; `guardhouse.storage.fulltext` asks with the same words."""

_SQLITE_TEXT = """
    CREATE VIRTUAL TABLE memory_text USING fts5(
        workspace_id UNINDEXED, id UNINDEXED, terms, detail=none,
        tokenize = "unicode61 remove_diacritics 0 tokenchars '_:.-'"
    )
"""
"""Kept by `guardhouse.storage.fulltext`, not by triggers: the store trusts no schema (`trusted_schema=0`), and
then SQLite lets no trigger touch a virtual table."""


def upgrade() -> None:
    op.create_table(
        "task",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("type", sa.String(200), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("definition_of_done", sa.Text, nullable=False),
        sa.Column("input_json", sa.Text, nullable=False),
        sa.Column("labels_json", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("raw_priority", sa.Integer, nullable=False),
        sa.Column("parent_id", sa.String(200), nullable=False),
        sa.Column("feature", sa.String(200), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("assignee_id", sa.String(200), nullable=False),
        sa.Column("status", sa.String(200), nullable=False),
        sa.Column("blocked_reason", sa.Text, nullable=False),
        sa.Column("waiting_on", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("lease_seconds", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("holder_id", sa.String(200), nullable=False),
        sa.Column("holder_session", sa.String(200), nullable=False),
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("ended_by", sa.String(200), nullable=False),
        sa.Column("ended_session", sa.String(200), nullable=False),
        sa.Column("error_code", sa.String(200), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("artifacts_json", sa.Text, nullable=False),
        sa.Column("next_step", sa.Text, nullable=False),
        sa.Column("submit_sequence", sa.BigInteger, nullable=False),
        sa.Column("record_sequence", sa.BigInteger, nullable=False),
        sa.Column("erased_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_index("task_by_due", "task", ["workspace_id", "due_at"])
    op.create_index("task_by_holder", "task", ["workspace_id", "holder_id", "status"])
    op.create_index("task_by_record", "task", ["workspace_id", "record_sequence"])
    op.create_index("task_by_submission", "task", ["workspace_id", "submit_sequence"])
    op.create_index("task_in_order", "task", ["workspace_id", "status", "waiting_on", "priority", "created_at", "id"])
    op.create_table(
        "task_edge",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("waiter_id", sa.String(200), nullable=False),
        sa.Column("awaited_id", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "waiter_id", "awaited_id", "kind"),
    )
    op.create_index("task_edge_by_awaited", "task_edge", ["workspace_id", "awaited_id", "kind", "waiter_id"])
    op.create_table(
        "handoff",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("agent_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("task_id", sa.String(200), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("lists_json", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("erased_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_index("handoff_by_agent", "handoff", ["workspace_id", "agent_id", "created_at", "id"])
    op.create_index("handoff_by_sequence", "handoff", ["workspace_id", "sequence"])
    op.create_index("handoff_by_task", "handoff", ["workspace_id", "task_id", "created_at", "id"])
    op.create_index("handoff_by_time", "handoff", ["workspace_id", "created_at", "id"])
    op.create_table(
        "memory",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("agent_id", sa.String(200), nullable=False),
        sa.Column("event_type", sa.String(200), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("tags_json", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(200), nullable=False),
        sa.Column("lessons_json", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("task_id", sa.String(200), nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("content_digest", sa.String(200), nullable=False),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("forgotten_at", sa.BigInteger, nullable=False),
        sa.Column("forgotten_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_index("memory_by_content", "memory", ["workspace_id", "agent_id", "content_digest", "last_at"])
    op.create_index("memory_in_order", "memory", ["workspace_id", "number"], unique=True)
    op.create_table(
        "memory_source",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("memory_id", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "sequence"),
    )
    op.create_index("memory_source_by_memory", "memory_source", ["workspace_id", "memory_id", "sequence"])
    op.create_table(
        "memory_term",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("term", sa.String(200), nullable=False),
        sa.Column("documents", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "term"),
    )
    op.create_table(
        "presence",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("agent_id", sa.String(200), nullable=False),
        sa.Column("agent_type", sa.String(200), nullable=False),
        sa.Column("capabilities_json", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("task_id", sa.String(200), nullable=False),
        sa.Column("activity", sa.String(200), nullable=False),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
        sa.Column("freed_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "session_id"),
    )
    op.create_index("presence_by_agent", "presence", ["workspace_id", "agent_id"])
    op.create_index("presence_by_time", "presence", ["workspace_id", "last_seen_at"])
    op.create_table(
        "presence_capability",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("capability", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "capability", "session_id"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE INDEX memory_text ON memory USING gin ({_TERMS})")
    else:
        op.execute(_SQLITE_TEXT)


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.execute("DROP TABLE memory_text")
    for table in (
        "presence_capability",
        "presence",
        "memory_term",
        "memory_source",
        "memory",
        "handoff",
        "task_edge",
        "task",
    ):
        op.drop_table(table)
