"""Tokens lent under another: which one, so that both end together.

Revision 0005, after 0004. A column is added in place, so the table keeps its triggers on both databases.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("token", sa.Column("issued_under", sa.String(200), nullable=False, server_default=""))
    op.create_index("token_by_issuer", "token", ["workspace_id", "issued_under"])


def downgrade() -> None:
    op.drop_index("token_by_issuer", "token")
    op.execute("ALTER TABLE token DROP COLUMN issued_under")
