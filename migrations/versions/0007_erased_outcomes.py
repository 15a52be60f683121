"""A kept answer goes with the payload that a lawful erasure takes, not only when it is a day old.

Revision 0007, after 0006.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

DAY = 86_400_000_000
_HEAD = "FROM workspace_head WHERE workspace_id = OLD.workspace_id"
_OLD = f"COALESCE(OLD.at <= (SELECT last_at {_HEAD}) - {DAY}, 1 = 0)"
_ERASED = (
    "EXISTS (SELECT 1 FROM erasure WHERE workspace_id = OLD.workspace_id AND sequence = OLD.sequence "
    f"AND by_sequence >= (SELECT tree_size {_HEAD}))"
)
_MESSAGE = "guardhouse: first_outcome is append-only"


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "postgresql":
        schema = bind.dialect.identifier_preparer.quote(bind.execute(text("SELECT current_schema()")).scalar_one())
        op.execute(
            "CREATE OR REPLACE FUNCTION first_outcome_refuse_delete() RETURNS trigger LANGUAGE plpgsql "
            f"SET search_path TO {schema}, pg_temp AS $body$ BEGIN IF NOT ({_OLD} OR {_ERASED}) THEN "
            f"RAISE EXCEPTION '{_MESSAGE}' USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END $body$"
        )
        return
    op.execute("DROP TRIGGER first_outcome_no_delete")
    op.execute(
        "CREATE TRIGGER first_outcome_no_delete BEFORE DELETE ON first_outcome "
        f"WHEN NOT ({_OLD} OR {_ERASED}) BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"
    )


def downgrade() -> None:
    raise RuntimeError("protection is not taken back")
