"""Whether parts of a condition hold between them for every row: each subject is tried at every value that matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlglot import exp
from sqlglot.optimizer.simplify import simplify

from guardhouse.guardrails.trivial import FLIPPED, false, is_key, is_measure, true

MOST_STEPS = 200
"""Combinations of values that are tried before a condition counts as one that cannot be worked out."""

_Truths = tuple[bool, bool, bool]
_Value = float | str

_COMPARED: dict[type[Any], _Truths] = {
    exp.EQ: (False, True, False),
    exp.NullSafeEQ: (False, True, False),
    exp.NEQ: (True, False, True),
    exp.NullSafeNEQ: (True, False, True),
    exp.GT: (False, False, True),
    exp.GTE: (False, True, True),
    exp.LT: (True, False, False),
    exp.LTE: (True, True, False),
}
"""For each comparison whether it is true of what lies below, at and above its other side."""
_COMPUTED = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe, exp.Concat, exp.Case, exp.If, exp.Coalesce)


class TooMany(Exception):
    """A condition with more combinations than are tried."""


@dataclass(slots=True)
class _Leaf:
    """A comparison of a subject with a constant; `truths` are those at each of the subject's values."""

    subject: str
    compared: _Truths
    value: Any
    truths: tuple[bool, ...] = ()


@dataclass(slots=True)
class _Group:
    """All of some parts, or any of them."""

    every: bool
    parts: list[_Part]


_Part: TypeAlias = bool | _Leaf | _Group


def holds(condition: Any, table: str) -> bool:
    """Whether a condition is true of every row, NULLs aside. `table` is how it may call the table that it is about.

    What is compared with constants, or two things with each other, is taken at each value that makes a difference;
    every other part may be true or not. Raises `TooMany` where not all combinations could be tried.
    """
    reading = _Reading(table.lower())
    part = reading.part(condition, True)
    reading.settle()
    return not _fails(part, {}, iter(range(MOST_STEPS)))


class _Reading:
    """One condition as comparisons, with negations drawn into them."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._leaves: dict[str, list[_Leaf]] = {}
        self._floors: dict[str, str] = {}

    def part(self, node: Any, wanted: bool) -> _Part:
        while isinstance(node, exp.Paren | exp.Not | exp.Escape):
            wanted = wanted != isinstance(node, exp.Not)
            node = node.this
        if isinstance(node, exp.Or | exp.And):
            parts = [self.part(node.left, wanted), self.part(node.right, wanted)]
            return _Group(isinstance(node, exp.And) == wanted, parts)
        if node.args.get("negate"):
            return self._other(node, not wanted)
        if true(node):
            return wanted
        if false(node):
            return not wanted
        if node.find(*_COMPUTED) is not None:
            made = simplify(node.copy())
            if true(made) or false(made):
                return wanted == true(made)
            node = made
        if isinstance(node, exp.Between):
            low = exp.GTE(this=node.this.copy(), expression=node.args["low"].copy())
            high = exp.LTE(this=node.this.copy(), expression=node.args["high"].copy())
            return _Group(wanted, [self.part(low, wanted), self.part(high, wanted)])
        if isinstance(node, exp.In) and node.expressions:
            each = [exp.EQ(this=node.this.copy(), expression=one.copy()) for one in node.expressions]
            return _Group(not wanted, [self.part(one, wanted) for one in each])
        if isinstance(node, exp.Is):
            if isinstance(node.expression, exp.Boolean):
                return self._leaf(node.this, _COMPARED[exp.EQ], bool(node.expression.this), wanted)
            if isinstance(node.expression, exp.Null) and is_key(node.this):
                return not wanted
            return self._other(node, wanted)
        if type(node) in _COMPARED:
            return self._comparison(node, wanted)
        if isinstance(node, exp.Column):
            return self._leaf(node, _COMPARED[exp.NEQ], False, wanted)
        return self._other(node, wanted)

    def settle(self) -> None:
        """Tell the truths of every leaf at each value of its subject."""
        for subject, leaves in self._leaves.items():
            line, places = _values([leaf.value for leaf in leaves], self._floors.get(subject, ""))
            numbers = not isinstance(line[0], str)
            for leaf in leaves:
                at = 2 * line.index(_placed(leaf.value, numbers)) + 1
                below, same, above = leaf.compared
                leaf.truths = tuple(below if one < at else same if one == at else above for one in places)

    def _comparison(self, node: Any, wanted: bool) -> _Part:
        left, right, compared = node.this.unnest(), node.expression.unnest(), type(node)
        if _constant(left) is not None:
            left, right, compared = right, left, FLIPPED.get(compared, compared)
        value = _constant(right)
        if value is not None:
            return self._leaf(left, _COMPARED[compared], value, wanted)
        if right.find(exp.Placeholder) is not None and not all(one.this for one in right.find_all(exp.Placeholder)):
            return self._other(node, wanted)
        names = self._name(left), self._name(right)
        if names[0] > names[1]:
            compared = FLIPPED.get(compared, compared)
        return self._kept("\0".join(sorted(names)), _COMPARED[compared], 0, wanted)

    def _leaf(self, node: Any, compared: _Truths, value: Any, wanted: bool) -> _Part:
        node = node.unnest()
        name = self._name(node)
        if is_key(node) or is_measure(node):
            self._floors[name] = "key" if is_key(node) else "measure"
        return self._kept(name, compared, value, wanted)

    def _other(self, node: Any, wanted: bool) -> _Part:
        """What is true or not, by its words; two parameters without a name are not the same."""
        plain = node
        if node.args.get("negate"):
            plain = node.copy()
            plain.set("negate", None)
        name = f"\0{plain.sql()}"
        if any(not one.this for one in node.find_all(exp.Placeholder)):
            name += f"\0{len(self._leaves)}"
        return self._kept(name, _COMPARED[exp.EQ], True, wanted)

    def _kept(self, subject: str, compared: _Truths, value: Any, wanted: bool) -> _Leaf:
        below, same, above = compared
        leaf = _Leaf(subject, compared if wanted else (not below, not same, not above), value)
        self._leaves.setdefault(subject, []).append(leaf)
        return leaf

    def _name(self, node: Any) -> str:
        if isinstance(node, exp.Column) and node.table.lower() in ("", self._table):
            return str(node.name).lower()
        return str(node.sql()).lower()


def _constant(node: Any) -> Any:
    """The number, text or truth that stands there; None where it is something else."""
    if isinstance(node, exp.Cast):
        node = node.this
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
        return f"-{node.this.this}"
    return str(node.this) if isinstance(node, exp.Literal) else None


def _number(value: Any) -> float | None:
    text = str(int(value)) if isinstance(value, bool) else str(value)
    if not text.lstrip("+-.")[:1].isdecimal():
        return None
    try:
        return int(text) if len(text) < 30 and text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        return None


def _placed(value: Any, numbers: bool) -> _Value:
    number = _number(value) if numbers else None
    return str(value) if number is None else number


def _values(constants: list[Any], floor: str) -> tuple[list[_Value], list[int]]:
    """Constants in their order, and the places to try: `2 * n + 1` is a constant itself, an even one lies between two."""
    if all(isinstance(one, bool) for one in constants):
        return [0, 1], [1, 3]
    numbers = all(_number(one) is not None for one in constants)
    least: _Value | None = None
    if floor and (numbers or floor == "key"):
        least = 0 if numbers else ""
        constants = [*constants, least]
    line: list[Any] = sorted({_placed(one, numbers) for one in constants})
    places = [one for one in range(2 * len(line) + 1) if not _empty(one, line)]
    if least is not None:
        at = 2 * line.index(least) + 1
        places = [one for one in places if one > at or (one == at and floor == "measure")]
    return line, places


def _empty(place: int, line: list[Any]) -> bool:
    """Whether nothing lies there: it is between a whole number and the next."""
    if place % 2 or not 0 < place < 2 * len(line):
        return False
    low, high = line[place // 2 - 1], line[place // 2]
    return isinstance(low, int) and isinstance(high, int) and high - low == 1


def _fails(part: _Part, chosen: dict[str, int], steps: Iterator[int]) -> bool:
    """Whether some values of the subjects that none is chosen for make it false."""
    if next(steps, None) is None:
        raise TooMany
    told = _told(part, chosen)
    if isinstance(told, bool):
        return not told
    for value in sorted(range(len(told.truths)), key=told.truths.__getitem__):
        chosen[told.subject] = value
        if _fails(part, chosen, steps):
            return True
    del chosen[told.subject]
    return False


def _told(part: _Part, chosen: dict[str, int]) -> bool | _Leaf:
    """Whether it is true by what is chosen, or else the first comparison that it hangs on."""
    if isinstance(part, bool):
        return part
    if isinstance(part, _Leaf):
        value = chosen.get(part.subject)
        return part if value is None else part.truths[value]
    open_: _Leaf | None = None
    for one in part.parts:
        told = _told(one, chosen)
        if isinstance(told, _Leaf):
            open_ = open_ or told
        elif told != part.every:
            return told
    return part.every if open_ is None else open_
