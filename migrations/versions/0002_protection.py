"""Protection: triggers that keep the ledger append-only, and that raise the standing-version.

What they refuse and why is written in docs/auditing.md. Alembic's batch mode drops triggers silently and
MUST NOT be used on these tables.

On PostgreSQL order is judged once a statement, over all rows that it added. Statements on a segment do not
fire its parent's triggers, so a segment refuses every statement that names it. Trigger functions look names
up in the schema they were made in and never in `pg_temp` first, where the caller could plant a head of his own.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

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
KEYED = {
    "payload": ("workspace_id", "sequence"),
    "entry_rule": ("workspace_id", "rule", "sequence"),
    "erasure": ("workspace_id", "sequence"),
    "first_outcome": ("workspace_id", "session_id", "key"),
    "workspace_head": ("workspace_id",),
}
WIDE = ("entry", "payload", "content", "bundle_version", "first_outcome")
"""Tables that keep a rowid on SQLite."""

SEGMENTED = ("entry", "payload")
SEGMENTS = (*(f"{number:04d}" for number in range(8)), "later")
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
TRAIN = 256
"""The most entries of one train: an erasing call's own entry stands no further ahead."""

_GROWS = "guardhouse: a ledger only grows"
_HEAD_SIZE = "(SELECT tree_size FROM workspace_head WHERE workspace_id = NEW.workspace_id)"
_NEXT_ENTRY = (
    "NEW.sequence <> (SELECT COALESCE(MAX(sequence) + 1, 0) FROM entry WHERE workspace_id = NEW.workspace_id) "
    f"OR NEW.sequence < COALESCE({_HEAD_SIZE}, NEW.sequence + 1)"
)
_BESIDE = (
    f"NEW.sequence < COALESCE({_HEAD_SIZE}, NEW.sequence + 1) "
    "OR NOT EXISTS (SELECT 1 FROM entry WHERE workspace_id = NEW.workspace_id AND sequence = NEW.sequence)"
)
_ERASURE = (
    f"NOT COALESCE(NEW.by_sequence >= {_HEAD_SIZE} AND NEW.by_sequence < {_HEAD_SIZE} + {TRAIN} "
    f"AND NEW.sequence < {_HEAD_SIZE}, 1 = 0)"
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
_ERASED = (
    "EXISTS (SELECT 1 FROM erasure WHERE workspace_id = OLD.workspace_id AND sequence = OLD.sequence "
    "AND by_sequence >= (SELECT tree_size FROM workspace_head WHERE workspace_id = OLD.workspace_id))"
)
_OLD_OUTCOME = (
    f"COALESCE(OLD.at <= (SELECT last_at FROM workspace_head WHERE workspace_id = OLD.workspace_id) - {DAY}, 1 = 0)"
)
_DELETABLE = {"payload": _ERASED, "first_outcome": _OLD_OUTCOME}
_BACKWARD = (
    "NEW.tree_size < OLD.tree_size OR NEW.workspace_id <> OLD.workspace_id OR NEW.last_at < OLD.last_at "
    "OR NEW.standing_version < OLD.standing_version OR (NEW.tree_size = OLD.tree_size AND NEW.frontier <> OLD.frontier) "
    "OR (NEW.tree_size > OLD.tree_size AND NOT EXISTS "
    "(SELECT 1 FROM entry WHERE workspace_id = NEW.workspace_id AND sequence = NEW.tree_size - 1))"
)


def _abort(name: str, when: str, table: str, condition: str, message: str) -> None:
    clause = f" WHEN {condition}" if condition else ""
    op.execute(
        f"CREATE TRIGGER {table}_{name} {when} ON {table}{clause} BEGIN SELECT RAISE(ABORT, 'guardhouse: {message}'); END"
    )


def _sqlite() -> None:
    for table in APPEND_ONLY:
        message = f"{table} is append-only"
        allowed = _DELETABLE.get(table)
        _abort("no_update", "BEFORE UPDATE", table, "", message)
        _abort("no_delete", "BEFORE DELETE", table, f"NOT ({allowed})" if allowed else "", message)
    for table, (fault, message) in _ORDERED.items():
        _abort("in_order", "BEFORE INSERT", table, fault, message)
    for table, key in ADDRESSED.items():
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        op.execute(
            f"CREATE TRIGGER {table}_keep_first BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) BEGIN SELECT RAISE(IGNORE); END"
        )
    for table, key in KEYED.items():
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        _abort(
            "no_replace",
            "BEFORE INSERT",
            table,
            f"EXISTS (SELECT 1 FROM {table} WHERE {same})",
            f"{table} is append-only",
        )
    for table in WIDE:
        # Where a statement names no rowid, NEW.rowid is -1 before the insert; a row of that number MUST never be.
        taken = f"EXISTS (SELECT 1 FROM {table} WHERE rowid = NEW.rowid)"
        _abort("rowid_taken", "BEFORE INSERT", table, taken, f"{table} is append-only")
        _abort("rowid_counts", "AFTER INSERT", table, "NEW.rowid < 1", f"{table} is append-only")
    _abort("forward", "BEFORE UPDATE", "workspace_head", _BACKWARD, "a ledger only grows")
    _abort("no_delete", "BEFORE DELETE", "workspace_head", "", "a ledger only grows")
    _abort("begins", "BEFORE INSERT", "workspace_head", "NEW.tree_size <> 0", "a ledger begins empty")
    for table in STANDING:
        column = "id" if table == "workspace" else "workspace_id"
        for event, sides in (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",))):
            named = ", ".join(f"{side}.{column}" for side in sides)
            op.execute(
                f"CREATE TRIGGER {table}_standing_{event.lower()} AFTER {event} ON {table} BEGIN "
                f"UPDATE workspace_head SET standing_version = standing_version + 1 WHERE workspace_id IN ({named}); END"
            )


def _function(name: str, body: str, declare: str = "") -> None:
    bind = op.get_bind()
    schema = bind.dialect.identifier_preparer.quote(bind.execute(text("SELECT current_schema()")).scalar_one())
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path TO {schema}, pg_temp "
        f"AS $body$ {declare} BEGIN {body} END $body$"
    )


def _raise(message: str) -> str:
    return f"RAISE EXCEPTION 'guardhouse: {message}' USING ERRCODE = 'restrict_violation';"


def _refuse(table: str) -> str:
    return _raise(f"{table} is append-only")


_EACH = "FOR part IN SELECT workspace_id AS w, min(sequence) AS first, max(sequence) AS last, count(*) AS many FROM added GROUP BY 1"
_SIZE = "SELECT tree_size INTO size FROM workspace_head WHERE workspace_id = part.w;"
_MADE = "EXISTS (SELECT 1 FROM entry WHERE workspace_id = part.w AND sequence = {})"
_FAULTY_ROWS = {
    "entry": f"size IS NULL OR part.first < size OR part.last - part.first + 1 <> part.many "
    f"OR (part.first > size AND NOT {_MADE.format('part.first - 1')})",
    "payload": f"size IS NULL OR part.first < size OR NOT {_MADE.format('part.last')}",
    "entry_rule": f"size IS NULL OR part.first < size OR NOT {_MADE.format('part.last')}",
}


def _postgres_order() -> None:
    for table, fault in _FAULTY_ROWS.items():
        # Entries have no gap, so what is at or above the head's size and not above an entry stands beside one.
        _function(
            f"{table}_order",
            f"{_EACH} LOOP {_SIZE} IF {fault} THEN {_raise(_ORDERED[table][1])} END IF; END LOOP; RETURN NULL;",
            "DECLARE part record; size bigint;",
        )
        op.execute(
            f"CREATE TRIGGER {table}_in_order AFTER INSERT ON {table} REFERENCING NEW TABLE AS added "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_order()"
        )
    for table in ("erasure", "activation"):
        fault, message = _ORDERED[table]
        _function(f"{table}_order", f"IF {fault} THEN {_raise(message)} END IF; RETURN NEW;")
        op.execute(
            f"CREATE TRIGGER {table}_in_order BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_order()"
        )
    _function(
        "erasure_law",
        "IF NOT EXISTS (SELECT 1 FROM entry e, entry t WHERE e.workspace_id = NEW.workspace_id "
        "AND e.sequence = NEW.by_sequence AND e.operation = 'erase_payload' AND e.outcome = 'performed' "
        "AND t.workspace_id = NEW.workspace_id AND t.sequence = NEW.sequence "
        "AND position(convert_to('\"erased:' || t.id || '\"', 'UTF8') IN e.body) > 0) "
        f"THEN {_raise(_ORDERED['erasure'][1])} END IF; RETURN NULL;",
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER erasure_lawful AFTER INSERT ON erasure DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION erasure_law()"
    )


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
    for segment in (f"{table}_{segment}" for table in SEGMENTED for segment in SEGMENTS):
        # Fires only where a statement names the segment itself.
        op.execute(
            f"CREATE TRIGGER {segment}_no_direct BEFORE INSERT OR TRUNCATE ON {segment} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {segment.rpartition('_')[0]}_refuse()"
        )
    _postgres_order()
    _function(
        "workspace_head_grow",
        f"IF TG_OP = 'INSERT' THEN IF NEW.tree_size <> 0 THEN {_raise('a ledger begins empty')} END IF; "
        f"ELSIF TG_OP <> 'UPDATE' THEN {_raise('a ledger only grows')} "
        f"ELSIF {_BACKWARD} THEN {_raise('a ledger only grows')} END IF; RETURN NEW;",
    )
    op.execute(
        "CREATE TRIGGER workspace_head_forward BEFORE INSERT OR UPDATE OR DELETE ON workspace_head "
        "FOR EACH ROW EXECUTE FUNCTION workspace_head_grow()"
    )
    op.execute(
        "CREATE TRIGGER workspace_head_no_truncate BEFORE TRUNCATE ON workspace_head "
        "FOR EACH STATEMENT EXECUTE FUNCTION workspace_head_grow()"
    )
    _postgres_standing()


def _postgres_standing() -> None:
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
