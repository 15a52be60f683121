"""Conditions that hold for every row, against a database that tries all rows."""

from __future__ import annotations

import itertools
import random
import sqlite3

import pytest
import sqlglot

from guardhouse.guardrails import budget, holding, sql
from tests.effort import within

LEAVES = [
    "a > {}", "a >= {}", "a < {}", "a <= {}", "a = {}", "a <> {}", "{} < a", "a BETWEEN {} AND {}", "a NOT BETWEEN {} AND {}", "a IN ({}, {})", "a NOT IN ({}, {})",
    "b = {}", "b <> {}", "b > {}", "b <= {}", "c LIKE 'x'", "c NOT LIKE 'x'", "d", "length(e) >= {}", "length(e) <= {}", "{} > length(e)", "a IS DISTINCT FROM {}",
]  # fmt: skip


def _condition(chance: random.Random, depth: int) -> str:
    if depth == 0 or chance.random() < 0.25:
        leaf = chance.choice(LEAVES)
        return leaf.format(*(chance.randint(0, 4) for _ in range(2)))
    if chance.random() < 0.2:
        return f"NOT ({_condition(chance, depth - 1)})"
    joined = chance.choice([" OR ", " OR ", " AND "]).join(_condition(chance, depth - 1) for _ in range(2))
    return f"({joined})"


def test_what_holds_for_every_row_is_told_as_a_database_tells_it() -> None:
    rows = sqlite3.connect(":memory:")
    rows.execute("CREATE TABLE t (a INTEGER, b INTEGER, c TEXT, d INTEGER, e TEXT)")
    rows.executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?, ?)",
        itertools.product(range(-2, 8), range(-2, 8), ["x", "y"], [0, 1], ["z" * size for size in range(6)]),
    )
    chance, every, some = random.Random(7), 0, 0
    for _ in range(1500):
        condition = _condition(chance, 3)
        if len(condition) > 200:
            continue
        (left_out,) = rows.execute(f"SELECT count(*) FROM t WHERE NOT ({condition})").fetchone()
        told = "sql.unbounded" in sql.events(f"DELETE FROM t WHERE {condition}")[0]
        assert told == (left_out == 0), condition
        every, some = every + told, some + (not told)
    assert every > 100 < some


@pytest.mark.parametrize(
    "unit", ["(a{0}=1 AND b{0}=2 OR c{0}) AND ", "(a{0} OR NOT a{1}) AND (b{0} AND NOT b{1}) OR ", "a>{0} OR "]
)
def test_a_condition_with_many_combinations_costs_little(unit: str) -> None:
    condition = ""
    while len(condition) < budget.MOST_WHERE - 40:
        condition += unit.format(len(condition), len(condition) + 1)
    text = f"DELETE FROM t WHERE {condition}x = 1"

    def worked() -> None:
        sql.events(text)

    assert within(0.03, worked)


def test_a_condition_beyond_the_steps_is_not_said_to_be_bounded() -> None:
    every = [" AND ".join(signs) for signs in itertools.product(*((one, f"NOT {one}") for one in "abcdefgh"))]
    with pytest.raises(holding.TooMany):
        holding.holds(sqlglot.parse_one(" OR ".join(every)), "t")
