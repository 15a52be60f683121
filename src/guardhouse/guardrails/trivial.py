"""Single conditions of SQL that are true of every row, and limits that limit nothing."""

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp

MOST_LIMITED = 100_000
"""Rows; a larger limit counts as none."""
_KEYS = frozenset(["id", "_id", "pk", "uuid", "guid", "rowid", "oid", "ctid"])
"""Columns that no row is without."""
_MEASURES = frozenset(
    ["octet_length", "cardinality", "len", "lengthb", "datalength", "char_length", "character_length"]
)
"""Functions that are never negative and have no class of their own."""
FLIPPED: dict[type[Any], type[Any]] = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE}
"""What a comparison is with its sides changed, where that is another."""
_ALL_TEXT = re.compile(r"(?:\(|\?:)*(?:\.|\[\\[sSdDwW]\\[sSdDwW]\])[*+]\??\)*")
"""From a text's beginning to its end: anything."""
_ANY_TEXT = re.compile(
    r"(?:[()]|\?:)*(?:\.\+?(?:[()]|\?:)*|(?:(?:\\[sSdDwW]|[^()\[\]\\|*+?^$]|\[\^?[^\]^$]+\])[*?]\??(?:[()]|\?:)*)*)"
)
"""Anywhere in a text: one character, or what may be empty."""


def true(node: Any) -> bool:
    """Whether a condition, or a whole that it decides, shows to be true of every row, but those with NULL or nothing."""
    if isinstance(node, exp.Paren | exp.Escape):
        return true(node.this)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Literal):
        return str(node.this) not in ("0", "", "false", "f")
    if isinstance(node, exp.Or):
        return true(node.left) or true(node.right)
    if isinstance(node, exp.And):
        return true(node.left) and true(node.right)
    if isinstance(node, exp.Not):
        return false(node.this) or (
            isinstance(node.this, exp.Is) and is_key(node.this.this) and isinstance(node.this.expression, exp.Null)
        )
    if isinstance(node, exp.In | exp.EQ) and _same_rows(node):
        return True
    if isinstance(node, exp.Exists):
        return _whole(node.this)
    if isinstance(node, exp.Like | exp.ILike | exp.RegexpLike | exp.RegexpILike | exp.SimilarTo | exp.Glob):
        return not node.args.get("negate") and (_any_text(node) or bool(node.this == node.expression))
    if isinstance(node, exp.EQ | exp.GTE | exp.LTE | exp.NullSafeEQ) and node.this == node.expression:
        return True
    if isinstance(node, exp.GT | exp.GTE | exp.LT | exp.LTE | exp.NEQ):
        return _above_lowest(node) or _literally(node)
    return False


def false(node: Any) -> bool:
    """Whether it shows that a condition is true of no row."""
    if isinstance(node, exp.Paren):
        return false(node.this)
    if isinstance(node, exp.Boolean):
        return not node.this
    if isinstance(node, exp.EQ):
        return (
            isinstance(node.this, exp.Literal)
            and isinstance(node.expression, exp.Literal)
            and bool(node.this != node.expression)
        )
    return False


def limited(limit: Any) -> bool:
    """Whether a LIMIT or FETCH leaves rows out of a large table."""
    if limit is None:
        return False
    if isinstance(limit, exp.Fetch):
        options = limit.args.get("limit_options")
        if options is not None and options.args.get("percent"):
            return False
        count = limit.args.get("count")
        return count is None or _few(count)
    return _few(limit.expression)


def is_key(node: Any) -> bool:
    return isinstance(node, exp.Column) and str(node.name).lower() in _KEYS


def is_measure(node: Any) -> bool:
    """Whether it is a function that is never negative."""
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in _MEASURES
    return isinstance(node, exp.Length | exp.BitLength | exp.Abs | exp.ArraySize)


def _few(count: Any) -> bool:
    count = count.unnest()
    if isinstance(count, exp.Mul | exp.Add | exp.Literal):
        return _product(count) <= MOST_LIMITED
    if isinstance(count, exp.Column):
        return str(count.name).lower() != "all"  # another name is a variable of a procedure
    return isinstance(count, exp.Placeholder | exp.Parameter)


def _product(count: Any) -> float:
    """What a sum or product comes to; more than all where it is not made of numbers."""
    count = count.unnest()
    if isinstance(count, exp.Mul):
        return _product(count.left) * _product(count.right)
    if isinstance(count, exp.Add):
        return _product(count.left) + _product(count.right)
    try:
        return float(count.this) if isinstance(count, exp.Literal) else float("inf")
    except ValueError:
        return float("inf")


def _any_text(node: Any) -> bool:
    """Whether it compares with a pattern that takes any text, or any but the empty one."""
    pattern = node.expression
    if isinstance(pattern, exp.Escape):
        pattern = pattern.this
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        return False
    text = str(pattern.this)
    if isinstance(node, exp.Like | exp.ILike | exp.SimilarTo):
        return "%" in text and text.strip("%") in ("", "_")
    if isinstance(node, exp.Glob):
        return "*" in text and text.strip("*") in ("", "?")
    if len(text) > 40:
        return False
    text = re.sub(r"\{0?,\d*\}", "*", re.sub(r"^\(\?[a-z]+\)", "", text))
    body = text.removeprefix("^")
    ended = body.endswith("$") and not body.endswith("\\$")
    if text.startswith("^") and ended:
        return _ALL_TEXT.fullmatch(body[:-1]) is not None
    body = body[:-1] if ended else body
    if _ANY_TEXT.fullmatch(body) is not None or re.fullmatch(r"\([^()]*\)[*?]\??", body) is not None:
        return True
    # A branch with nothing in it is found anywhere.
    return re.search(r"(?:^|[(|])(?=\|)|\|(?=$|\))", body) is not None and re.fullmatch(r"[\w|()]*", body) is not None


def _above_lowest(node: Any) -> bool:
    """Whether it compares a key or a measure with what each of its values lies above, or none of them is."""
    side, bound, comparison = node.this.unnest(), node.expression.unnest(), type(node)
    if not isinstance(side, exp.Column | exp.Func):
        side, bound, comparison = bound, side, FLIPPED.get(comparison, comparison)
    if comparison in (exp.LT, exp.LTE):
        return False
    if is_key(side):
        return _lowest(bound, comparison)
    if not is_measure(side):
        return False
    negative = isinstance(bound, exp.Neg) and isinstance(bound.this, exp.Literal) and str(bound.this.this) != "0"
    return negative or (
        comparison is exp.GTE
        and isinstance(bound, exp.Literal)
        and re.fullmatch(r"0+(?:\.0*)?", bound.this) is not None
    )


def _lowest(bound: Any, comparison: type[Any]) -> bool:
    """What every number of a row lies above, or no row's name is: 0, 1 (by `>=`), -1 and the empty text."""
    if isinstance(bound, exp.Neg):
        return isinstance(bound.this, exp.Literal)
    if not isinstance(bound, exp.Literal):
        return False
    return str(bound.this) in ("0", "") or (str(bound.this) == "1" and comparison is exp.GTE)


def _literally(node: Any) -> bool:
    left, right = node.this, node.expression
    if not isinstance(left, exp.Literal) or not isinstance(right, exp.Literal):
        return False
    if isinstance(node, exp.NEQ):
        return bool(left != right)
    try:
        low, high = float(left.this), float(right.this)
    except ValueError:
        return False
    if isinstance(node, exp.GT | exp.LT):
        return low > high if isinstance(node, exp.GT) else low < high
    return low >= high if isinstance(node, exp.GTE) else low <= high


def _select(node: Any) -> Any:
    """The query within brackets, ANY and ARRAY."""
    for _ in range(5):
        if isinstance(node, exp.Any | exp.Subquery | exp.Paren):
            node = node.this
        elif isinstance(node, exp.Array) and len(node.expressions) == 1:
            node = node.expressions[0]
        else:
            break
    return node


def _whole(query: Any) -> bool:
    """Whether a query takes all rows of one table."""
    query = _select(query)
    if not isinstance(query, exp.Select) or any(query.args.get(part) for part in ("joins", "having", "qualify")):
        return False
    where = query.args.get("where")
    return (
        query.find(exp.Table) is not None
        and not limited(query.args.get("limit"))
        and (where is None or true(where.this))
    )


def _same_rows(node: Any) -> bool:
    """`id IN (SELECT id FROM t)`, or `= ANY` of it, for all of the very table that is changed."""
    if isinstance(node, exp.EQ) and not isinstance(node.expression, exp.Any):
        return False
    query = _select(node.expression if isinstance(node, exp.EQ) else node.args.get("query"))
    if not isinstance(query, exp.Select) or not _whole(query):
        return False
    source = query.find(exp.Table)
    changed = node.find_ancestor(exp.Delete, exp.Update)
    if source is None or changed is None or not isinstance(changed.this, exp.Table):
        return False
    if source.name.lower() != changed.this.name.lower() or not isinstance(node.this, exp.Column):
        return False
    taken = [one.unalias() for one in query.expressions]
    return len(taken) == 1 and isinstance(taken[0], exp.Column) and taken[0].name.lower() == node.this.name.lower()
