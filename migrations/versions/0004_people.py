"""What people do about verdicts: how often one was given, leave for what one refused, verdicts that are wrong.

Revision 0004, after 0003. Columns are spelled out, so that this step stays what it was when the models move on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refused",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("question", sa.String(200), nullable=False),
        sa.Column("times", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "session_id", "question"),
    )
    op.create_index("refused_by_time", "refused", ["workspace_id", "last_at"])
    op.create_table(
        "decision_grant",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("agent_id", sa.String(200), nullable=False),
        sa.Column("question", sa.String(200), nullable=False),
        sa.Column("law", sa.String(200), nullable=False),
        sa.Column("decision_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("rules", sa.Text, nullable=False),
        sa.Column("once", sa.Boolean, nullable=False),
        sa.Column("granted_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("granted_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("spent_at", sa.BigInteger, nullable=False),
        sa.Column("spent_by", sa.String(200), nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "id"),
    )
    op.create_index("decision_grant_by_question", "decision_grant", ["workspace_id", "question", "agent_id"])
    op.create_table(
        "wrong_verdict",
        sa.Column("workspace_id", sa.String(200), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("decision_id", sa.String(200), nullable=False),
        sa.Column("expected", sa.String(200), nullable=False),
        sa.Column("by_id", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "sequence"),
    )


def downgrade() -> None:
    for table in ("wrong_verdict", "decision_grant", "refused"):
        op.drop_table(table)
