"""Protection: triggers that keep the ledger append-only, and that raise the standing-version.

What they refuse and why is written in docs/auditing.md. Alembic's batch mode drops triggers silently and
MUST NOT be used on these tables.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "entry",
    "entry_rule",
    "payload",
    "erasure",
    "content",
    "bundle_version",
    "activation",
    "checkpoint",
    "tile",
    "sealed_segment",
    "first_outcome",
)
ADDRESSED = {
    "content": ("workspace_id", "digest"),
    "bundle_version": ("workspace_id", "digest"),
    "checkpoint": ("workspace_id", "tree_size"),
    "tile": ("workspace_id", "level", "position"),
    "sealed_segment": ("workspace_id", "first_sequence"),
}
STANDING = (
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
DAY = 86_400_000_000

_NEXT_ENTRY = "NEW.sequence <> (SELECT COALESCE(MAX(sequence) + 1, 0) FROM entry WHERE workspace_id = NEW.workspace_id)"
_BESIDE = (
    "NEW.sequence < (SELECT tree_size FROM workspace_head WHERE workspace_id = NEW.workspace_id) "
    "OR NOT EXISTS (SELECT 1 FROM entry WHERE workspace_id = NEW.workspace_id AND sequence = NEW.sequence)"
)
_ERASURE = (
    "NEW.by_sequence < (SELECT tree_size FROM workspace_head WHERE workspace_id = NEW.workspace_id) "
    "OR NEW.sequence >= NEW.by_sequence"
)
_NEXT_ACTIVATION = (
    "NEW.number <> (SELECT COALESCE(MAX(number) + 1, 1) FROM activation WHERE workspace_id = NEW.workspace_id)"
)
_ORDERED = {
    "entry": (_NEXT_ENTRY, "an entry must be the next of its ledger"),
    "payload": (_BESIDE, "a payload is written with its entry or never"),
    "entry_rule": (_BESIDE, "a rule is noted with its entry or never"),
    "erasure": (_ERASURE, "an erasure is written by the call that erases"),
    "activation": (_NEXT_ACTIVATION, "an activation must be the next"),
}
_ERASED = "EXISTS (SELECT 1 FROM erasure WHERE workspace_id = OLD.workspace_id AND sequence = OLD.sequence)"
_OLD_OUTCOME = f"OLD.at <= (SELECT last_at FROM workspace_head WHERE workspace_id = OLD.workspace_id) - {DAY}"
_DELETABLE = {"payload": _ERASED, "first_outcome": _OLD_OUTCOME}


def _sqlite() -> None:
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, 'guardhouse: {table} is append-only'); END"
        )
        allowed = _DELETABLE.get(table)
        condition = f" WHEN NOT ({allowed})" if allowed else ""
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}{condition} "
            f"BEGIN SELECT RAISE(ABORT, 'guardhouse: {table} is append-only'); END"
        )
    for table, (fault, message) in _ORDERED.items():
        op.execute(
            f"CREATE TRIGGER {table}_in_order BEFORE INSERT ON {table} WHEN {fault} "
            f"BEGIN SELECT RAISE(ABORT, 'guardhouse: {message}'); END"
        )
    for table, key in ADDRESSED.items():
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        op.execute(
            f"CREATE TRIGGER {table}_keep_first BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) BEGIN SELECT RAISE(IGNORE); END"
        )
    for table in ("payload", "entry_rule", "erasure", "first_outcome"):
        key = {
            "payload": ("sequence",),
            "entry_rule": ("rule", "sequence"),
            "erasure": ("sequence",),
            "first_outcome": ("session_id", "key"),
        }[table]
        same = " AND ".join(f"{column} = NEW.{column}" for column in ("workspace_id", *key))
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
            f"BEGIN SELECT RAISE(ABORT, 'guardhouse: {table} is append-only'); END"
        )
    op.execute(
        "CREATE TRIGGER workspace_head_forward BEFORE UPDATE ON workspace_head "
        "WHEN NEW.tree_size < OLD.tree_size OR NEW.workspace_id <> OLD.workspace_id OR NEW.last_at < OLD.last_at "
        "OR NEW.standing_version < OLD.standing_version "
        "BEGIN SELECT RAISE(ABORT, 'guardhouse: a ledger only grows'); END"
    )
    op.execute(
        "CREATE TRIGGER workspace_head_no_delete BEFORE DELETE ON workspace_head "
        "BEGIN SELECT RAISE(ABORT, 'guardhouse: a ledger only grows'); END"
    )
    op.execute(
        "CREATE TRIGGER workspace_head_no_replace BEFORE INSERT ON workspace_head "
        "WHEN EXISTS (SELECT 1 FROM workspace_head WHERE workspace_id = NEW.workspace_id) "
        "BEGIN SELECT RAISE(ABORT, 'guardhouse: a ledger only grows'); END"
    )
    for table in STANDING:
        column = "id" if table == "workspace" else "workspace_id"
        for event, sides in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
            named = ", ".join(f"{side}.{column}" for side in sides)
            op.execute(
                f"CREATE TRIGGER {table}_standing_{event.lower()} AFTER {event} ON {table} BEGIN "
                f"UPDATE workspace_head SET standing_version = standing_version + 1 WHERE workspace_id IN ({named}); END"
            )


def _function(name: str, body: str) -> None:
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN {body} END $body$")


def _refuse(table: str) -> str:
    return f"RAISE EXCEPTION 'guardhouse: {table} is append-only' USING ERRCODE = 'restrict_violation';"


def _postgres() -> None:
    for table in APPEND_ONLY:
        _function(f"{table}_refuse", _refuse(table))
        op.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"
        )
        allowed = _DELETABLE.get(table)
        if allowed:
            _function(f"{table}_refuse_delete", f"IF NOT ({allowed}) THEN {_refuse(table)} END IF; RETURN OLD;")
        function = f"{table}_refuse_delete" if allowed else f"{table}_refuse"
        op.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
        )
    for table in ("entry", "payload"):
        for segment in [*(f"{number:04d}" for number in range(16)), "later"]:
            op.execute(
                f"CREATE TRIGGER {table}_{segment}_no_truncate BEFORE TRUNCATE ON {table}_{segment} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
            )
    for table, (fault, message) in _ORDERED.items():
        _function(
            f"{table}_order",
            f"IF {fault} THEN RAISE EXCEPTION 'guardhouse: {message}' USING ERRCODE = 'restrict_violation'; END IF; "
            "RETURN NEW;",
        )
        op.execute(
            f"CREATE TRIGGER {table}_in_order BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_order()"
        )
    _function(
        "workspace_head_grow",
        "IF TG_OP <> 'UPDATE' OR NEW.tree_size < OLD.tree_size OR NEW.workspace_id <> OLD.workspace_id "
        "OR NEW.last_at < OLD.last_at OR NEW.standing_version < OLD.standing_version "
        "THEN RAISE EXCEPTION 'guardhouse: a ledger only grows' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW;",
    )
    op.execute(
        "CREATE TRIGGER workspace_head_forward BEFORE UPDATE OR DELETE ON workspace_head "
        "FOR EACH ROW EXECUTE FUNCTION workspace_head_grow()"
    )
    op.execute(
        "CREATE TRIGGER workspace_head_no_truncate BEFORE TRUNCATE ON workspace_head "
        "FOR EACH STATEMENT EXECUTE FUNCTION workspace_head_grow()"
    )
    for table in STANDING:
        column = "id" if table == "workspace" else "workspace_id"
        _function(
            f"{table}_raise_standing",
            "IF TG_OP = 'TRUNCATE' THEN UPDATE workspace_head SET standing_version = standing_version + 1; RETURN NULL; "
            "END IF; "
            f"IF TG_OP <> 'INSERT' THEN UPDATE workspace_head SET standing_version = standing_version + 1 "
            f"WHERE workspace_id = OLD.{column}; END IF; "
            f"IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.{column} <> OLD.{column}) THEN "
            f"UPDATE workspace_head SET standing_version = standing_version + 1 WHERE workspace_id = NEW.{column}; END IF; "
            "RETURN NULL;",
        )
        op.execute(
            f"CREATE TRIGGER {table}_standing AFTER INSERT OR UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {table}_raise_standing()"
        )
        if table != "activation":
            op.execute(
                f"CREATE TRIGGER {table}_standing_truncate AFTER TRUNCATE ON {table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_raise_standing()"
            )


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _postgres()
    else:
        _sqlite()


def downgrade() -> None:
    raise RuntimeError("protection is not taken back")
