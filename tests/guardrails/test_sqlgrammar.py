"""SQL's grammar within bounds: texts on which the library's own parser never ends, or copies what it read again and again."""

from __future__ import annotations

import pytest

from guardhouse.guardrails import sql, sqlgrammar
from guardhouse.guardrails.budget import LOOK_COST, MOST_NODES, MOST_STEPS, Budget
from guardhouse.guardrails.text import Examined
from tests.guardrails.packs import shipped, verdict

ENDLESS = {
    "joins without a table": "SELECT " + "JOIN NULL " * 400,
    "joins of two words": "SELECT " + "JOIN a b " * 400,
    "left joins": "SELECT * FROM t WHERE " + "LEFT JOIN " * 400,
    "structures": "CREATE TABLE t (" + "STRUCT(" * 50,
    "structures behind commas": "STRUCT(," * 50,
    "unions": "SELECT " + "UNION (" * 50,
    "unions in brackets": "CREATE TABLE t (" + "(UNION " * 50,
}
"""Each doubles the parser's work with every repetition: before they were bounded, none of them ended."""
ORDINARY = {
    "a report": "SELECT u.id, u.name, count(*) AS n FROM users u JOIN orders o ON o.user_id = u.id WHERE u.created_at > now() - interval '7 days' AND o.status IN ('paid','sent') GROUP BY u.id, u.name ORDER BY n DESC LIMIT 20; ",
    "rows": "INSERT INTO t (a, b, c) VALUES (1, 'some text here', 3.5), (2, 'another', 4.5);\n",
    "a table": "CREATE TABLE t (id bigint primary key, name text not null default '', created_at timestamptz not null default now(), foreign key (id) references u(id));\n",
    "changes": "UPDATE users SET name = 'a', email = 'b@example.com' WHERE id = 17;\n",
    "functions": "SELECT public.total(a.b), lower(a.c), coalesce(x.y, 0), (a.d).e, a.f->>'g' FROM a, x WHERE app.visible(a.id);\n",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_text_that_would_never_end_is_left_after_so_many_steps(text: str) -> None:
    parsed = sqlgrammar.statements(text, MOST_STEPS)
    assert parsed.cut
    assert parsed.trees is None
    assert parsed.steps == MOST_STEPS


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize(
    "change", ["DELETE FROM users", "DELETE FROM users WHERE id > 0 OR id <= 0", "DROP TABLE users"]
)
def test_what_stands_beside_it_is_never_allowed(text: str, change: str) -> None:
    for whole in (f"{change}; {text}", f"{text}; {change}"):
        for kind in ("sql", "auto"):
            assert verdict(whole, kind) in ("ask", "block"), (whole[:40], kind)


def test_calls_behind_arrows_are_copied_within_the_steps() -> None:
    """The library copies all that stands before such a call: forty of them took a hundred times as long as one."""
    text = "SELECT " + "CAST(a AS x -> " * 250
    assert sqlgrammar.statements(text, MOST_STEPS).cut
    chain = "SELECT a" + "->b" * 60 + "->f()" * 50
    few, many = (sqlgrammar.statements(one, 10 * MOST_STEPS).steps for one in ("SELECT a" + "->b" * 60, chain))
    assert many > few + 50 * 60 * sqlgrammar.COPY


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_sql_is_read_whole(text: str) -> None:
    """As much as is read at once; of what calls a function at every fifth word, two thirds of it."""
    letters = sql.MOST_READ * 2 // 3 if "lower(" in text else sql.MOST_READ
    whole = text * (letters // len(text))
    parsed = sqlgrammar.statements(whole, MOST_STEPS)
    assert not parsed.cut
    assert parsed.trees is not None
    assert len(parsed.trees) == whole.count(";")


def test_what_was_read_costs_what_it_took() -> None:
    budget = Budget()
    sql.events(ORDINARY["a report"], budget=budget)
    took = MOST_STEPS - budget.steps
    assert 100 < took < 1_000
    assert MOST_NODES - budget.nodes == took // 4 + LOOK_COST + len(ORDINARY["a report"]) // 40


def test_all_grammars_of_a_text_share_its_work() -> None:
    """Shell, SQL and interpreters' code each had bounds of their own before, and one text could spend them all."""
    statement = "select a, b from t where c = 1 and d = 2 and e = 3 and f = 4 order by a; "
    shell = "for f in *.py; do echo ${f%.py} >> list.txt; done\n"
    program = "python3 - <<'E'\n" + "print('a', 'b', 'c')\n" * 80 + "E\n"
    parts = [f'psql -c "{statement * 20}"\n', shell * 60, program]
    left = []
    for text in ("".join(parts), *parts):
        budget = Budget()
        shipped()._hits(Examined("t", text, "shell"), budget)  # the engine's own count of the work
        left.append(budget.nodes)
    together, *alone = left
    assert MOST_NODES - together >= 0.9 * sum(MOST_NODES - one for one in alone)
