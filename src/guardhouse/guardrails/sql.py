"""What SQL would do, by its structure: the names of events for rules to subscribe to."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Any

import re2
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.simplify import simplify

from guardhouse.guardrails import holding, sqlgrammar, trivial
from guardhouse.guardrails.blanks import squeezed
from guardhouse.guardrails.budget import Budget
from guardhouse.guardrails.units import Unit

MOST_SQL = 16 * 1024
MOST_READ = 4 * 1024
"""Characters that are read by the grammar at once; more are read by patterns."""
MOST_STATEMENTS = 100
MOST_NESTING = 60
MOST_INNER = 10
"""Bodies and executed texts in one text, each; more are told as `size`."""
MOST_OPERATORS = 200
"""Signs of arithmetic, comparison and parts of names: each makes a level of the tree."""

STARTS = re.compile(
    r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*(?:SELECT\s|INSERT\s+INTO\s|UPDATE\s+(?:ONLY\s+|OR\s+\w+\s+)?\S+\s+(?:(?:AS\s+)?\w+\s+)?SET\s|DELETE\s+FROM\s|DROP\s+(?:TABLE|DATABASE|SCHEMA|INDEX|VIEW|USER|ROLE|FUNCTION|TRIGGER|COLUMN|OWNED|MATERIALIZED|SEQUENCE|TYPE|EXTENSION|PROCEDURE|TABLESPACE|KEYSPACE|PUBLICATION|SUBSCRIPTION|EVENT|LOGIN|SERVER|POLICY|WAREHOUSE|STAGE|STREAM|TASK|PIPE|DOMAIN|AGGREGATE|CATALOG|CONTINUOUS|DICTIONARY|SYNONYM|PACKAGE)\b|"
    r"TRUNCATE\s+(?:TABLE\s+)?[\w\"`.\[\]]+|ALTER\s+(?:TABLE|USER|ROLE|DATABASE|SYSTEM|SCHEMA|DEFAULT\s+PRIVILEGES|LOGIN|SEQUENCE|INDEX|VIEW|TYPE|FUNCTION|POLICY|SERVER|WAREHOUSE|KEYSPACE)\s|RENAME\s+TABLE\s|PURGE\s+BINARY\s|RESET\s+(?:MASTER|REPLICA|SLAVE)\b|LOAD\s+DATA\s+(?:LOCAL\s+)?INFILE\b|CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP\w*\s+)?(?:TABLE|DATABASE|INDEX|VIEW|USER|ROLE|FUNCTION|SCHEMA)\s|GRANT\s|REVOKE\s|WITH\s+(?:RECURSIVE\s+)?\w+\s*(?:\([^)]*\)\s*)?AS\s*\(|"
    r"MERGE\s+INTO\s|COPY\s+\w+\s|COPY\s*\(\s*(?:SELECT|WITH|TABLE|VALUES|INSERT|UPDATE|DELETE)\b|COPY\s+[\w.\"]+\s*(?:\([^()]*\)\s*)?(?:FROM|TO)\s+(?:PROGRAM|STDIN|STDOUT|E?')|DO\s+\$|EXPLAIN\s|VACUUM\b|BEGIN\s*;|SET\s+ROLE\s|EXEC(?:UTE)?(?:\s+(?:IMMEDIATE|xp_|sp_)|\s*\()|FLUSH(?:ALL|DB)\b|REPLACE\s+INTO\s|PRAGMA\s+\w|CALL\s+\w+|SHUTDOWN\s*(?:;|$|(?:WITH|NOSAVE|SAVE|ABORT|IMMEDIATE|NORMAL|TRANSACTIONAL|FORCE)\b)|REINDEX\s|DELETE\s+\w+\s+FROM\s|DETACH\s|CREATE\s+(?:EXTENSION|LANGUAGE)\s)",
    re.I | re.S,
)
_HEADS = frozenset(
    ["SE", "IN", "UP", "DE", "DR", "TR", "AL", "CR", "GR", "RE", "WI", "ME", "CO", "DO", "EX", "VA", "BE", "FL", "CA", "SH", "PU", "LO", "PR"]
)  # fmt: skip
"""How the verbs of `STARTS` begin: most texts begin otherwise, and this is told sooner."""
_OPERATORS = re.compile(r"[.*+/%=<>~|[-]")
_OPTION = re.compile(r"\s*shutdown\s+--\w", re.I)
"""The program, not the statement with a comment behind it."""
_COMMENT = re.compile(r"--[^\n]*+|/\*.*?\*/|(/\*.*)", re.S)
_LINE_COMMENT = re.compile(r"--[^\n]*+")
_LITERAL = re.compile(r"'(?:''|[^'])*'", re.S)
_FALLBACK = [
    (
        "sql.drop",
        r"(?i)\bDROP\s+(?:TABLE|VIEW|MATERIALIZED|FUNCTION|SEQUENCE|TYPE|TRIGGER|EXTENSION|PROCEDURE|COLUMN|CONSTRAINT|PARTITION|POLICY|PUBLICATION|SUBSCRIPTION|EVENT|SERVER|STREAM|TASK|PIPE|DOMAIN|AGGREGATE|DICTIONARY|SYNONYM|PACKAGE|CONTINUOUS\s+(?:QUERY|AGGREGATE))\b",
    ),
    ("sql.drop.database", r"(?i)\bDROP\s+(?:DATABASE|SCHEMA|KEYSPACE|CATALOG|TABLESPACE|OWNED|WAREHOUSE|STAGE)\b"),
    (
        "sql.role",
        r"(?i)\bDROP\s+(?:USER|ROLE|LOGIN)\b|\bALTER\s+(?:USER|ROLE|LOGIN)\b|\bCREATE\s+(?:USER|ROLE|LOGIN)\b[^;]*\bSUPERUSER\b|\bSET\s+PASSWORD\b|\bREASSIGN\s+OWNED\b",
    ),
    ("sql.truncate", r"(?i)\bTRUNCATE\s+(?:TABLE\s+)?[\w\"`.\[]"),
    ("sql.grant", r"(?i)\bGRANT\b[^;]*\bTO\b|\bREVOKE\b[^;]*\bFROM\b"),
    (
        "sql.program",
        r"(?i)\bCOPY\b[^;]*\bPROGRAM\b|\bxp_cmdshell\b|\bsys_exec\b|\blo_(?:ex|im)port\b|\bINTO\s+(?:OUTFILE|DUMPFILE)\b|\bLOAD\s+DATA\s+INFILE\b|\bCREATE\s+(?:EXTENSION|LANGUAGE)\s+(?:IF\s+NOT\s+EXISTS\s+)?\"?(?:pl\w+u|file_fdw|dblink|adminpack)\b|\bpg_read_(?:binary_)?file\b|\bLOAD_FILE\s*\(|\bload_extension\s*\(|\bdblink_exec\b|\bpg_write_file\b",
    ),
    (
        "sql.server",
        r"(?i)\bpg_terminate_backend\b|\bSHUTDOWN\b|\bALTER\s+SYSTEM\b|^\s*SET\s+(?:GLOBAL|PERSIST)\b|\bpg_cancel_backend\b|\bRESET\s+(?:MASTER|REPLICA|SLAVE)\b|\bPURGE\s+BINARY\b|\bFLUSH\s+PRIVILEGES\b|\bALTER\s+DATABASE\b|\bKILL\s+\d",
    ),
    ("sql.replace", r"(?i)\bCREATE\s+OR\s+REPLACE\s+TABLE\b|\bINSERT\s+OVERWRITE\b"),
    (
        "sql.alter",
        r"(?i)\bALTER\s+TABLE\b[^;]*\b(?:DROP|RENAME|DISABLE\s+(?:TRIGGER|ROW))\b|\bDROP\s+INDEX\b|^\s*RENAME\s+TABLE\b|^\s*ALTER\s+(?:INDEX|VIEW|SEQUENCE|TYPE)\b[^;]*\bRENAME\b",
    ),
    ("sql.server", r"(?i)^\s*FLUSH(?:ALL|DB)\b"),
    ("sql.detach", r"(?i)\bDETACH\s+(?:TABLE|PARTITION|DATABASE)\b"),
    (
        "sql.unbounded",
        r"(?i)\b(?:DELETE\s+FROM\s+[\w\"`.\[\]]+|UPDATE\s+[\w\"`.\[\]]+\s+(?:(?:AS\s+)?\w+\s+)?SET\s+[^;]*?)\s*(?:[;)]|$)",
    ),
    (
        "sql.unbounded",
        r"(?i)\b(?:DELETE\s+FROM|UPDATE)\b[^;]*\bWHERE\s+\(?\s*(?:1\s*=\s*1|TRUE|1|'1'\s*=\s*'1')\s*\)?\s*(?:;|$|\bOR\b)",
    ),
]
_COMPILED = [(name, re2.compile(pattern)) for name, pattern in _FALLBACK]
_OPAQUE = [
    (name, pattern)
    for name, pattern in _COMPILED
    if name in ("sql.program", "sql.server", "sql.role", "sql.grant", "sql.replace", "sql.detach")
]
_EXPLAINED = re.compile(
    r"\s*EXPLAIN\s+(?:\([^)]*\)\s*|(?:ANALYZE|ANALYSE|VERBOSE|EXTENDED|FORMAT\s*=?\s*\w+)\s+)*", re.I
)
_OF_CLIENT = re.compile(
    r"(?m)^[^\S\n]*+\\\S.*$|^[^\S\n]*+\.(?:shell|system|read|mode|headers?|tables|schema|quit|exit|output|dump)\b.*$"
)
"""Lines for a client, not for its database."""
_BODY = re.compile(r"\$(\w*)\$(.*?)\$\1\$", re.S)
_EXECUTED = re.compile(
    r"\b(?:EXECUTE|EXEC|PREPARE\s+\w+\s+FROM)\s*(?:IMMEDIATE\s*)?(?:format|concat)?\s*\(?\s*[NE]?'((?:''|[^'])+)'", re.I
)
_BOUNDED = re2.compile(r"(?i)\b(?:DELETE\s+(?:\w+\s+)?FROM|UPDATE\b[^;]*\bSET|MERGE\s+INTO)\b")
_UPSERT = re2.compile(r"(?i)\b(?:DO\s+UPDATE\s+SET|ON\s+(?:DELETE|UPDATE)|KEY\s+UPDATE|FOR\s+UPDATE)\b")
"""What has a writing verb's name and changes no row that is there but the one in hand, or none."""
_WRITES = re2.compile(r"(?i)\b(?:UPDATE|DELETE|MERGE|DROP|TRUNCATE|ALTER|GRANT|REVOKE)\b")
_RUNS = re2.compile(r"(?i)\b(?:EXEC|PREPARE)")
_QUALIFIED = re2.compile(r"(?i)\b(?:UPDATE|DELETE|FROM)\W+(?:ONLY|LOW_PRIORITY|QUICK|IGNORE|OR|TOP)\b")
_OPENS = re2.compile(r"(?i)\b(?:START|LOCK)\W")
"""Whether there is anything for a slower pattern to find; each MUST find more than `_EXECUTED`, `_MODIFIERS` and `_OPENED`."""
_OPENED = re.compile(r"((?:^|;)\s*)(?:START\s+TRANSACTION|LOCK\s+TABLES?\s)[^;]*", re.I)
"""What opens a transaction and is no statement to the grammar."""
_MODIFIERS = re.compile(
    r"\b(UPDATE|DELETE(?:\s+FROM)?)\s+(?:ONLY|LOW_PRIORITY|QUICK|IGNORE|OR\s+(?:IGNORE|REPLACE|ROLLBACK|ABORT|FAIL)|TOP\s*\([^()]{1,20}\)(?:\s+PERCENT)?)(?=\s)",
    re.I,
)
"""Words between a verb and its table that only some dialects know. They bound nothing, but for `TOP`, whose
number may be any; without them the rest is understood by its structure."""
_MATCHED = re.compile(r"""'[^']*'|"[^"]*"|(?<=[\w'")\]\s])(!?)~(?!~)\*?(?=\s*E?')""", re.I)
"""Literals, and PostgreSQL's signs for `REGEXP`."""
_PIECES = re.compile(r"'\s*\|\|\s*[NE]?'", re.I)


def _folded(text: str) -> str:
    """Literals that are joined by `||` as one."""
    return _PIECES.sub("", text)


def _regexp(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return " NOT REGEXP " if found[1] else " REGEXP "


def _uncommented(text: str) -> str:
    """The text with a blank for each comment; one without an end is none, and its end is looked for once."""
    return _COMMENT.sub(lambda match: _LINE_COMMENT.sub(" ", match[1]) if match[1] else " ", text)


def starts(text: str) -> bool:
    """Whether a text begins like SQL, comments left aside."""
    head = text[:400]
    if _OPTION.match(head) is not None:
        return False
    if "/*" in head or "--" in head:
        head = _uncommented(text[:MOST_SQL]).lstrip()[:400]
    return head.lstrip()[:2].upper() in _HEADS and STARTS.match(head) is not None


def spoken(units: Iterable[Unit], programs: Container[str]) -> bool:
    """Whether a statement stands where a command does, as behind `USE prod;`: what is data stands nowhere so."""
    return any(
        unit.program[:2].upper() in _HEADS
        and unit.program not in programs
        and starts(" ".join([unit.program, *(word.text for word in unit.args)]))
        for unit in units
    )


def bare(text: str) -> str:
    """A text without its comments, blanks in a row as one."""
    return " ".join(_uncommented(text).split())


def writes(text: str) -> bool:
    """Whether words of it, literals and comments left aside, could change or remove what is there."""
    return _WRITES.search(_UPSERT.sub(" ", _outside(text))) is not None


def _outside(text: str) -> str:
    """What stands outside its literals and comments."""
    return _LITERAL.sub("''", _uncommented(text))


_COPIED = re.compile(r"(?im)^[^\S\n]*+\\copy\b[^\n]*\bprogram\b")
"""psql's own copying through a program of the machine that it runs on."""


def events(text: str, depth: int = 0, budget: Budget | None = None) -> tuple[list[str], bool]:
    """The names of what this SQL does, and whether its structure was understood. Never raises.

    `budget` is what is left for the text that this SQL stands in; without one it is a text by itself.
    """
    if budget is None:
        budget = Budget()
    if len(text) > MOST_SQL:
        return ["size"], False
    budget.looks(len(text))
    text = squeezed(text)
    found: list[str] = []
    explained = _EXPLAINED.match(text)
    if explained is not None:
        if "ANALY" not in explained[0].upper():
            return found, True
        text = text[explained.end() :]
    if "\\" in text and _COPIED.search(text):
        found.append("sql.program")
    plain = _OF_CLIENT.sub("", text)
    runs = _RUNS.search(plain) is not None
    if depth < 3:
        bodies = list(_BODY.finditer(plain)) if "$" in plain else []
        executed = list(_EXECUTED.finditer(_folded(plain))) if runs else []
        if len(bodies) > MOST_INNER or len(executed) > MOST_INNER:
            found.append("size")
        for match in bodies[:MOST_INNER]:
            inner, _ = events(re.sub(r"(?i)\b(?:BEGIN|END|LOOP|THEN|DECLARE)\b", ";", match[2]), depth + 1, budget)
            found += inner
        for made in executed[:MOST_INNER]:
            found += events(made[1].replace("''", "'"), depth + 1, budget)[0]
    elif _BODY.search(plain) or (runs and _EXECUTED.search(plain)):
        found.append("size")
    nested = _readable(plain)
    said = _outside(nested)
    parsed = None
    if not (
        nested.count("(") > MOST_NESTING
        or nested.count(";") > MOST_STATEMENTS
        or len(nested) > MOST_READ
        or len(_OPERATORS.findall(said)) > MOST_OPERATORS
    ):
        steps = budget.parses(len(nested))
        parsed = sqlgrammar.statements(nested, steps) if steps else None
    if parsed is not None:
        budget.parsing(parsed.steps)
    if parsed is None or parsed.cut:
        told = _fallback(said)
        if "sql.unbounded" not in told and _BOUNDED.search(_UPSERT.sub(" ", said)):
            # Whether a condition holds for every row is told by structure alone.
            told.append("size")
            budget.short = True
        return [*found, *told], False
    try:
        for tree in parsed.trees or ():
            found += _statement(tree, budget)
        understood = parsed.trees is not None and all(_is_statement(tree) for tree in parsed.trees)
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError, IndexError):
        understood = False
    found += _always(said) if understood else _fallback(said)
    return list(dict.fromkeys(found)), understood


def _readable(plain: str) -> str:
    """Statements as the grammar knows them, without the words that only some dialects have."""
    text = _BODY.sub("'body'", plain) if "$" in plain else plain
    if _QUALIFIED.search(text):
        text = _MODIFIERS.sub(r"\1", text)
    if _OPENS.search(text):
        text = _OPENED.sub(r"\1BEGIN", text)
    return _MATCHED.sub(_regexp, text) if "~" in text else text


def _fallback(said: str) -> list[str]:
    """What patterns tell of statements without their literals and comments."""
    return [name for name, pattern in _COMPILED if pattern.search(said)]


def _always(said: str) -> list[str]:
    """What sqlglot reads as an opaque command or an ordinary function."""
    return [name for name, pattern in _OPAQUE if pattern.search(said)]


def _is_statement(tree: Any) -> bool:
    """Whether it is one, and no expression: a shell's `eval $X` reads as a column with another name."""
    return not isinstance(tree, exp.Condition | exp.Alias) or isinstance(tree, exp.Query)


def _statement(tree: Any, budget: Budget) -> list[str]:
    found: list[str] = []
    for node in tree.walk():
        if isinstance(node, exp.Drop):
            kind = str(node.args.get("kind") or "").upper()
            if kind in ("DATABASE", "SCHEMA", "CATALOG", "TABLESPACE", "KEYSPACE"):
                found.append("sql.drop.database")
            elif kind in ("USER", "ROLE", "LOGIN"):
                found.append("sql.role")
            elif kind == "INDEX" or isinstance(node.parent, exp.Alter):
                found.append("sql.alter")
            elif node.args.get("temporary"):
                found.append("sql.temporary")
            else:
                found.append("sql.drop")
        elif isinstance(node, exp.TruncateTable):
            found.append("sql.truncate")
        elif isinstance(node, exp.Delete | exp.Update):
            try:
                # What a MERGE changes is bounded by the condition that it joins on.
                merge = node.parent if isinstance(node.parent, exp.When) else None
                bound = node.args.get("where") if merge is None else _joined_on(merge)
                if not trivial.limited(node.args.get("limit")) and _everything(bound, budget):
                    found.append("sql.unbounded")
            except _TooMuch:
                found.append("size")
        elif isinstance(node, exp.Merge):
            if re.search(r"(?i)WHEN\s+MATCHED\s+THEN\s+DELETE", node.sql()):
                found.append("sql.unbounded")
        elif isinstance(node, exp.Create):
            if node.args.get("replace") and str(node.args.get("kind")).upper() in ("TABLE", "DATABASE", "SCHEMA"):
                found.append("sql.replace")
        elif isinstance(node, exp.Alter):
            actions = node.args.get("actions") or []
            if any(isinstance(action, exp.Drop | exp.AlterRename | exp.RenameColumn) for action in actions):
                found.append("sql.alter")
        elif isinstance(node, exp.Grant):
            found.append("sql.grant")
        elif isinstance(node, exp.Command):
            said = f"{node.this} {node.expression}" if node.args.get("expression") else str(node.this)
            found += _fallback(_outside(said))
    return found


class _TooMuch(Exception):
    """A condition for which no work is left."""


def _joined_on(when: Any) -> Any:
    """The condition of the MERGE around one of its branches, as a WHERE; None where it has none."""
    around = when.find_ancestor(exp.Merge)
    on = around.args.get("on") if around is not None else None
    return None if on is None else exp.Where(this=on.copy())


def _everything(where: Any, budget: Budget) -> bool:
    """No condition, or one that is true for every row: so it shows, or so it becomes when it is worked out.

    A condition that names no column is the same for every row; it counts as true unless it is worked out to be false.
    """
    if where is None or trivial.true(where.this):
        return True
    kinds = {type(node) for node in where.walk()}
    varies = not kinds.isdisjoint((exp.Column, exp.Placeholder, exp.Parameter))
    if varies and kinds.isdisjoint((exp.Or, exp.Not)):
        return False
    if budget.short or not budget.works(len(where.sql())):
        raise _TooMuch
    if not varies:
        made = simplify(where.this.copy())
        return trivial.true(made) or not trivial.false(made)
    changed = where.find_ancestor(exp.Delete, exp.Update)
    table = changed.this.alias_or_name if changed is not None and isinstance(changed.this, exp.Table) else ""
    try:
        return holding.holds(where.this, table)
    except holding.TooMany:
        raise _TooMuch from None
