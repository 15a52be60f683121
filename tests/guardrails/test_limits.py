"""Every limit of the reader: what stands behind it is never allowed, and what only is long passes."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Callable

import pytest
from tree_sitter import Node

from guardhouse.guardrails import code, decode, reading, sql, units, watch, words
from guardhouse.guardrails.packs import read_packs
from guardhouse.guardrails.running import Runner
from guardhouse.guardrails.text import Examined
from guardhouse.guardrails.units import Flow, Spent
from tests.guardrails.packs import FOLDER, shipped, verdict

ROOT = "rm -rf /"
SHIPPED = {f"guardrails/{path.name}": path.read_bytes() for path in FOLDER.glob("*.yaml")}
HARMLESS = {
    r"\brm\b": "ls", "DROP TABLE users": "SELECT 2", "FLUSHALL": "PING", "DELETE FROM": "SELECT * FROM", r"\bgit\b": "a",
    r"UPDATE (?:ONLY )?users(?: AS)?(?: u)? SET admin =": "SELECT",
}  # fmt: skip
"""The same without the danger: these must pass, or the limits would be met by something else."""


def _listed(number: int, last: str, name: str = "tmp/{}") -> str:
    return " ".join([*(name.format(one) for one in range(number)), last])


def _quoted(number: int, last: str, name: str = "ls {}") -> str:
    return " ".join([*(shlex.quote(name.format(one)) for one in range(number)), shlex.quote(last)])


def _lines(number: int, last: str, name: str) -> str:
    return "\n".join([*(name.format(one) for one in range(number)), last])


CUTS: dict[str, Callable[[int], str]] = {
    "values of a loop": lambda n: f'for d in {_listed(n, "/")}; do rm -rf "$d"; done',
    "commands of a loop": lambda n: f"for c in {_quoted(n, ROOT)}; do $c; done",
    "texts of a loop": lambda n: f'for c in {_quoted(n, ROOT)}; do sh -c "$c"; done',
    "loop over an array": lambda n: f'a=({_listed(n, "/")}); for d in "${{a[@]}}"; do rm -rf "$d"; done',
    "roots of find": lambda n: f"find {_listed(n, '/')} -exec rm -rf {{}} \\;",
    "elements of an array": lambda n: f'a=({_listed(n, "/")}); rm -rf "${{a[@]}}"',
    "elements added": lambda n: f'a=({_listed(n, "x")}); a+=(/); rm -rf "${{a[@]}}"',
    "elements from one on": lambda n: f'a=({_listed(n, ROOT)}); "${{a[@]:{n}}}"',
    "elements from one on, unquoted": lambda n: f"a=({_listed(n, ROOT)}); ${{a[@]:{n}}}",
    "set": lambda n: f'set -- {_listed(n, "/")}; rm -rf "$@"',
    "one of set": lambda n: f"set -- {_listed(n, '/')}; rm -rf ${{{n + 1}}}",
    "arguments of a function": lambda n: f"f() {{ rm -rf ${{{n + 1}}}; }}; f {_listed(n, '/')}",
    "arguments of a shell": lambda n: f"sh -c 'rm -rf ${{{n + 1}}}' _ {_listed(n, '/')}",
    "functions": lambda n: _lines(n, "g() { rm $1 $2; }; g -rf /", "f{}() {{ ls; }}"),
    "aliases": lambda n: _lines(n, "alias b='rm -rf'; b /", "alias a{}=ls"),
    "texts of one program": lambda n: f"hyperfine {_quoted(n, ROOT)}",
    "texts of parallel": lambda n: f"parallel ::: {_quoted(n, ROOT)}",
    "arguments of parallel": lambda n: f"parallel rm -rf {{}} ::: {_listed(n, '/')}",
    "words for xargs": lambda n: f"printf '%s\\n' {_listed(n, '/')} | xargs rm -rf",
    "lines for xargs": lambda n: f"printf '%s\\n' {_listed(n, '/')} | xargs -I@ rm -rf @",
    "values of printf": lambda n: f"rm -rf $(printf '%s ' {_listed(n, '/')})",
    "parts of a format": lambda n: f"printf '{'ls%%;' * n}{ROOT}' | sh",
    "braces": lambda n: f"rm -rf {{{','.join(f'build/{one}' for one in range(n))},/}}",
    "braces in braces": lambda n: f"rm -rf {{{{{','.join(f'b{one}' for one in range(n))}}},/}}",
    "words before a program": lambda n: f"mywrapper {_listed(n, ROOT, '--x{}')}",
    "programs before a program": lambda n: f"mywrapper {_listed(n, ROOT, 'git')}",
    "calls in code": lambda n: "python3 -c " + shlex.quote(_lines(n, f"os.system('{ROOT}')", "os.system('ls {}')")),
    "arguments in code": lambda n: "python3 -c " + shlex.quote(f"import subprocess; subprocess.run(['rm', '-rf', {', '.join(repr(f'a{one}') for one in range(n))}, '/'])"),
    "other quotes in code": lambda n: "perl -e " + shlex.quote("print q(((" + "(" * n + "1" + ")" * n + "))); " + "q{a}; " * n + f"system q{{{ROOT}}}"),
    "arguments of system": lambda n: "perl -e " + shlex.quote(f"system('rm', '-rf', '{'a' * n}', '/')"),
    "queries in code": lambda n: "python3 -c " + shlex.quote(_lines(n, "c.execute('DROP TABLE users')", "c.execute('SELECT {} FROM t')")),
    "names that read fills": lambda n: f"read {_listed(n, 'z', 'v{}')} <<< '{_listed(n, ROOT, 'a')}'; $z",
    "recipes": lambda n: "make -f - <<'EOF'\nall:\n" + _lines(n, f"\t{ROOT}", "\tls {}") + "\nEOF",
    "cron lines": lambda n: "crontab - <<'EOF'\n" + _lines(n, f"* * * * * {ROOT}", "1 1 * * * ls {}") + "\nEOF",
    "lines of an editor": lambda n: "ed x <<'EOF'\n" + _lines(n, f"!{ROOT}", "!ls {}") + "\nEOF",
    "lines of powershell": lambda n: "pwsh -c " + shlex.quote("; ".join([*(f"ls {one}" for one in range(n)), ROOT])),
    "subcommand words on standard input": lambda n: "redis-cli <<'EOF'\n" + _lines(n, "FLUSHALL", "GET k{}") + "\nEOF",
    "bodies in SQL": lambda n: "psql <<'EOF'\n" + _lines(n, "DO $$ BEGIN DROP TABLE users; END $$;", "DO $$ BEGIN PERFORM {}; END $$;") + "\nEOF",
    "executed texts in SQL": lambda n: "psql <<'EOF'\n" + _lines(n, "EXECUTE 'DROP TABLE users';", "EXECUTE 'SELECT {}';") + "\nEOF",
    "bodies in bodies": lambda n: "psql <<'EOF'\n" + "".join(f"DO $a{one}$ BEGIN " for one in range(n)) + "DROP TABLE users; " + "".join(f"END $a{one}$;" for one in reversed(range(n))) + "\nEOF",
    "conditions in SQL": lambda n: "psql <<'EOF'\n" + _lines(n, "DELETE FROM users WHERE id > 0 OR id <= 0;", "DELETE FROM t WHERE id = {} OR id = 0;") + "\nEOF",
    "a long condition": lambda n: "psql -c " + shlex.quote(f"DELETE FROM t WHERE ({' OR '.join(f'id = {one}' for one in range(n))}) OR (id > 0 OR id <= 0)"),
    "brackets in SQL": lambda n: "psql -c " + shlex.quote(f"DELETE FROM users WHERE {'(' * n}1+1=2{')' * n}"),
    "a long comment in SQL": lambda n: "psql -c " + shlex.quote(f"UPDATE users u SET admin = true WHERE 1=1 /* {'x' * 5 * n} */"),
    "a long comment before SQL": lambda n: "mysql -e " + shlex.quote(f"/* {'x' * 5 * n} */ UPDATE ONLY users SET admin = true"),
    "a here-document of SQL": lambda n: f"psql <<'E'\n-- {'x' * 5 * n}\nUPDATE users AS u SET admin = true;\nE",
    "statements of SQL": lambda n: "psql -c " + shlex.quote("select 1;" * n + "UPDATE users u SET admin = true"),
    "brackets in an update": lambda n: "psql -c " + shlex.quote(f"UPDATE users u SET admin = {'(' * n}true{')' * n}"),
    "conditions of many clients": lambda n: _lines(n, "psql -c 'DELETE FROM users WHERE id > 0 OR id <= 0'", "psql -c 'DELETE FROM t WHERE id = {} OR id = 0'"),
    "backticks in a here-document": lambda n: "cat <<EOF\n" + _lines(n, f"`{ROOT}`", "`ls {}`") + "\nEOF",
    "statements": lambda n: "; ".join([*(f"ls {one}" for one in range(n)), ROOT]),
    "pipeline": lambda n: " | ".join([*(f"tr a b{one}" for one in range(n)), f"sh -c '{ROOT}'"]),
    "text within a variable": lambda n: f"a={'tmp/x ' * n!r}; b=\"$a$a$a$a$a$a$a$a /\"; rm -rf $b",
}  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
def test_what_stands_behind_a_limit_is_never_allowed(cut: str) -> None:
    make = CUTS[cut]
    few = [1, 3, 4, 8, 9, 10, 15, 16, 20, 32, 40, 63, 64, 100, 255, 256, 400, 900]
    allowed = [number for number in few if verdict(make(number)) not in ("ask", "block")]
    assert allowed == []


@pytest.mark.parametrize("cut", sorted({*CUTS} - {"programs before a program"}))
def test_it_is_the_danger_that_stops_them(cut: str) -> None:
    text = CUTS[cut](3)
    for danger, harmless in HARMLESS.items():
        text = re.sub(danger, harmless, text)
    assert verdict(text) in ("allow", "warn"), text


@pytest.mark.parametrize("blank", ["\n", " \n", " "])
@pytest.mark.parametrize(
    "opening", ["vim -c '", "sed '", "pwsh -c '", "julia -e '", "psql -c '", "ed <<< '", "ftp <<< '", "crontab - <<< '"]
)
def test_blanks_cost_no_more_than_their_number(opening: str, blank: str) -> None:
    """A pattern that takes all blanks before a line once for each of them took from 0.2 s to minutes."""
    text = opening + blank * (8000 // len(blank)) + "'"
    began = time.process_time()
    verdict(text)
    assert time.process_time() - began < 0.15


@pytest.mark.parametrize("within", [1, 63, 64, 65, 399, 400, 401, 999, 1000, 1001, 1500])
def test_the_guards_own_state_is_seen_behind_every_limit(within: int) -> None:
    home = "/srv/guardhouse/operator.token"
    several = " ".join(f"/a{one}" for one in range(within))
    for text in (
        f"tool --read {shlex.quote(f'{several} {home}')}",
        "python3 -c " + shlex.quote(f"print('{several}'); open('{home}')"),
        f"for f in {several} {home}; do cat $f; done",
    ):
        if len(text) < reading.MOST_SHELL:
            assert verdict(text) in ("ask", "block"), text[-80:]


@pytest.mark.parametrize(
    "text",
    [
        "for i in {1..100}; do echo $i; done",
        "for i in {1..1000}; do curl -s http://localhost:3000/items/$i; done",
        "for i in $(seq 1 500); do curl -s localhost:3000/$i > out/$i.json; done",
        f"for f in {_listed(60, 'src/z.py', 'src/a{}.py')}; do ruff check $f; done",
        f"git add {_listed(100, 'z.py', 'src/a{}.py')}",
        f"rm -rf {_listed(60, 'build/z', 'build/a{}')}",
        f"touch {{{','.join(f'a{one}' for one in range(100))}}}.txt",
        "mkdir -p src/{a,b,c}/{test,main}/{java,resources}",
        "touch page-{01..80..2}.html",
        f"a=({_listed(40, 'z')}); echo \"${{a[@]}}\"",
        "printf '%s\\n' {1..300} > numbers.txt",
        f"echo {_quoted(100, 'z')}",
        "psql -c " + shlex.quote("UPDATE t SET a = 1 WHERE id IN (" + ", ".join(map(str, range(100))) + ")"),
        "psql -c 'DELETE FROM t WHERE id = 1 OR id = 2 OR name IS NULL'",
        "set -euo pipefail; npm ci; npm test",
        "while IFS= read -r line; do echo \"$line\"; done < names.txt",
        "IFS=$'\\n'; for f in $(git ls-files '*.py'); do wc -l \"$f\"; done",
        "IFS=, read -r a b <<< 'x,y'; echo $a",
    ],
)  # fmt: skip
def test_what_only_is_long_passes(text: str) -> None:
    assert verdict(text) in ("allow", "warn")


@pytest.mark.parametrize(
    "text",
    [
        "sqlite3 a.db 'UPDATE OR IGNORE users SET a=1'",
        "sqlcmd -Q 'UPDATE TOP (100) PERCENT users SET a=1'",
        "mysql -e 'UPDATE LOW_PRIORITY users SET a=1'",
        "mysql -e 'DELETE QUICK FROM users'",
        "psql -c 'DELETE FROM ONLY users'",
        "psql -c 'frob (( ; UPDATE users u SET a=1'",
        "psql -c 'frob ((; MERGE users'",
    ],
)
def test_sql_in_a_command_that_is_not_understood_is_not_allowed_when_it_writes(text: str) -> None:
    assert verdict(text) in ("ask", "block")


@pytest.mark.parametrize(
    "text",
    [
        "psql -c 'SELECT ((('",
        "sqlite3 a.db 'UPDATE OR IGNORE users SET a=1 WHERE id=2'",
        "psql -c "
        + shlex.quote("INSERT INTO t VALUES " + ", ".join(f"({one}, 'DROP {'x' * 40}')" for one in range(90))),
        "psql -c "
        + shlex.quote(
            "INSERT INTO t VALUES " + "(1000000, 2000000), " * 220 + "(3, 4) ON CONFLICT (a) DO UPDATE SET b = 1"
        ),
        "psql -c " + shlex.quote("SELECT a FROM t WHERE b IN (" + ", ".join(map(str, range(1500))) + ")"),
    ],
)
def test_sql_in_a_command_that_only_reads_or_is_bounded_passes(text: str) -> None:
    assert verdict(text) == "allow", _rules(text)


def _nested(depth: int) -> str:
    """So many evaluations, one in the other."""
    texts = [f"a0={shlex.quote(ROOT)}", *(f"a{one}='eval \"$a{one - 1}\"'" for one in range(1, depth))]
    return "; ".join([*texts, f'eval "$a{depth - 1}"'])


def _rules(text: str) -> set[str]:
    return {one.rule for one in shipped().examine((Examined("text", text),))}


def test_wrappers_are_opened_to_their_depth_and_no_deeper() -> None:
    depth = units.MOST_DEPTH
    assert depth == 8
    assert "filesystem.delete.root" in _rules(_nested(depth - 1))
    assert verdict(_nested(depth - 1)) == "block"
    beneath = _rules(_nested(depth))
    assert "execution.unknown.text" in beneath
    assert "filesystem.delete.root" not in beneath
    sudo = "sudo " * depth
    assert "filesystem.delete.root" in _rules(sudo + ROOT)
    assert _rules("sudo " + sudo + ROOT) >= {"execution.unknown.text"}
    assert "filesystem.delete.root" not in _rules("sudo " + sudo + ROOT)
    assert verdict("sudo " + sudo + ROOT) == "ask"


def test_a_limit_is_where_it_is_said_to_be() -> None:
    assert verdict("ls " + "a" * (reading.MOST_SHELL - 3)) == "allow"
    assert verdict("ls " + "a" * (reading.MOST_SHELL - 2)) == "ask"
    assert verdict("\n".join(["ls"] * reading.MOST_UNITS)) == "allow"
    assert verdict("\n".join(["ls"] * (reading.MOST_UNITS + 1))) == "ask"
    assert len(words.expand("\x02" + "\x03".join(map(str, range(words.MOST_WORDS))) + "\x04")) == words.MOST_WORDS
    assert decode.printed("printf", ["%s", "a" * words.MOST_TEXT]) == "a" * words.MOST_TEXT
    assert decode.printed("printf", ["%s", "a" * (words.MOST_TEXT + 1)]) is None
    calls = [f"os.system('ls {one}')" for one in range(code.MOST_CALLS)]
    assert code.as_shell("\n".join(calls), "python")[1] == []
    assert code.as_shell("\n".join([*calls, "os.system('id')"]), "python")[1] == ["size"]
    executed = "EXECUTE 'SELECT 1';\n" * sql.MOST_INNER
    assert "size" not in sql.events(executed)[0]
    assert "size" in sql.events(executed + "EXECUTE 'SELECT 1';")[0]
    several = " ".join(f"/a{one}" for one in range(watch.MOST_WITHIN))
    assert verdict(f"tool '{several}'") == "allow"
    assert verdict(f"tool '{several} /b /c'") == "ask"


@pytest.mark.parametrize(
    ("bound", "make"),
    [
        (sql.MOST_STATEMENTS, lambda n: "SELECT 1;" * n),
        (sql.MOST_NESTING, lambda n: "SELECT " + ", ".join(["(1)"] * n)),
        (sql.MOST_OPERATORS, lambda n: "SELECT 1" + "+1" * n),
        (4 * 1024, lambda n: f"SELECT '{'a' * (n - 9)}'"),
    ],
)
def test_beyond_a_limit_of_its_structure_sql_is_read_by_its_words(bound: int, make: Callable[[int], str]) -> None:
    assert sql.events(make(bound)) == ([], True)
    assert sql.events(make(bound + 1)) == ([], False)
    assert sql.events(make(bound + 1) + "; DELETE FROM users")[0] != []
    assert sql.events(make(bound + 1) + "; DELETE FROM users WHERE id > 0 OR id <= 0")[0] != []


def test_sql_longer_than_is_read_is_never_allowed() -> None:
    longest = f"SELECT '{'a' * (sql.MOST_SQL - 9)}'"
    assert "size" not in sql.events(longest)[0]
    assert sql.events(longest + " ")[0] == ["size"]
    assert verdict(longest + " ", "sql") == "ask"


@pytest.mark.parametrize(
    ("bound", "make"),
    [
        (reading.MOST_OPENED, lambda n: "(ls);" * n),
        (reading.MOST_CLOSED, lambda n: f"case $1 in {' '.join(f'a{one}) ;;' for one in range(n))} esac"),
    ],
)
def test_a_limit_of_brackets_is_where_it_is_said_to_be(bound: int, make: Callable[[int], str]) -> None:
    assert verdict(make(bound), "shell") == "allow"
    assert verdict(make(bound + 1), "shell") == "ask"


@pytest.mark.parametrize(
    ("bound", "make"),
    [
        (reading.MOST_SQUARE, lambda n: "echo words[" + " words[" * (n - 1)),
        (reading.MOST_DOCUMENTS, lambda n: "; ".join(["cat <<E"] * n) + "\n" + "x\nE\n" * n),
        (reading.MOST_COMPOUND, lambda n: "f() { ls; }" + "\necho case x in" * n),
        (reading.MOST_COMPOUND, lambda n: "f() { ls; }" + "\necho for x in" * n),
    ],
)
def test_what_the_grammar_recovers_from_slowly_is_counted_before(bound: int, make: Callable[[int], str]) -> None:
    """8 KB of these took the grammar from 25 to 75 ms."""
    assert reading.tree(make(bound).encode()) is not None
    assert reading.tree(make(bound + 1).encode()) is None
    assert verdict(make(bound + 1), "shell") == "ask"


class Counted(Runner):
    """A reader that says how many nodes it ran."""

    ran = 0

    def run(self, node: Node, feed: Flow | None = None) -> Flow:
        self.ran += 1
        return super().run(node, feed)


@pytest.mark.parametrize(
    "text",
    [
        "for a in {1..60}; do for b in {1..60}; do for c in {1..60}; do ls $a $b $c; done; done; done",
        "echo " + "{a,b}" * 30,
        "a=(" + "{1..64} " * 100 + '); for x in "${a[@]}" "${a[@]}" "${a[@]}"; do ls "${a[@]}"; done',
        "a=x; " + "a=$a$a$a$a;" * 20 + " rm -rf $a",
        "f() { g; g; g; g; }; g() { h; h; h; h; }; h() { i; i; i; i; }; i() { ls; ls; ls; ls; }; " + "f; " * 50,
        "set -- " + "a " * 800 + '; f() { ls "$@"; }; ' + 'f "$@"; ' * 100,
        "x='a b c d e f g h'; for i in $x; do for j in $x; do for k in $x; do for l in $x; do ls; done; done; done; done",
    ],
)
def test_the_work_is_bounded_however_a_text_multiplies(text: str) -> None:
    """Work is counted, not timed, so that the machine's load says nothing: nodes run, commands, letters, names kept."""
    reader = Counted(read_packs(SHIPPED).programs, text, "")
    with contextlib.suppress(Spent):
        reader.run_text(text, 0, len(text))
    assert 0 < reader.ran <= reading.MOST_NODES
    assert len(reader.units) <= reading.MOST_UNITS
    assert sum(len(word.text) for unit in reader.units for word in unit.args) <= reading.MOST_LETTERS
    assert len(reader.state.variables) <= reading.MOST_NODES
    assert verdict(text) == "ask"


def test_pieces_that_multiply_in_nothing_cost_no_more_than_they_are() -> None:
    """Twice the text is at most about twice the work."""
    for piece in ("ls; ", "a=$a; ", "echo $(ls) | cat; ", "x=(a b); ", "sudo ls; ", "{ ls; }; "):
        ran = []
        for often in (40, 80):
            reader = Counted(read_packs(SHIPPED).programs, piece * often, "")
            reader.run_text(piece * often, 0, len(piece) * often)
            ran.append(reading.MOST_NODES - reader.nodes)
        assert ran[1] <= 2 * ran[0] + 2, (piece, ran)
