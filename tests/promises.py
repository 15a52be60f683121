"""What the reference promises, and the tests that show it: `docs/coverage.md` from the tests' names.

`python -m tests.promises` renews the page. A test shows the rows that its name begins with:
`test_c27_…`, `test_r06_r07_…`. The list of rows is written here, so that a row without a test is a fault. What must
hold beyond single rows is listed in `tests/points.py` with its tests.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.points import SECTIONS, Point

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "coverage.md"
_ROWS = re.compile(r"test_((?:[acrg][0-9]{2}_)+)")

PROMISES: Mapping[str, str] = {
    "A02": "discover, claim, complete",
    "A03": "ready: unclaimed, and nothing to wait for",
    "A04": "active: who holds it, and since when",
    "A05": "blocked: and by what",
    "A06": "the most urgent first, then the oldest",
    "A07": "the five types",
    "A08": "priorities 0 to 4",
    "A09": "an epic's end ends its children",
    "A10": "blocked until all needs are done",
    "A11": "which of two tasks needs the other",
    "A12": "no circle of needs, at once neither",
    "A13": "one session holds a claim",
    "A14": "the claimer is the assignee",
    "A15": "a conflict names the holder",
    "A18": "a lock is held by one at a time",
    "A19": "taking one tells holder, since when, until when, fence",
    "A20": "only the holder renews, and not after expiry",
    "A21": "only the holder releases; twice is no error",
    "A22": "a lock ends by itself; the next fence is higher",
    "A23": "deploy gates, migrations, branches, files",
    "A24": "invariants for every role",
    "A25": "one's own role's playbook, by the role on record",
    "A26": "the active rules and one's own guide in one answer",
    "A27": "the roles are listed",
    "A28": "a new version disturbs nobody; not modified is cheap",
    "A38": "every call is a sign of life",
    "A48": "short locks",
    "A49": "long locks, renewed",
    "A50": "one spelling for one thing",
    "A51": "list and revoke by prefix, on segments",
    "C01": "files and logical keys in one table",
    "C02": "priorities, dependencies, atomic claims",
    "C03": "handoffs across sessions",
    "C04": "agents found by capability and status",
    "C05": "what the silent hold is given back",
    "C06": "memory with relevance and decay",
    "C07": "destructive operations are blocked",
    "C08": "trust, restrictions, limits",
    "C09": "one entry a call, never changed",
    "C10": "outbound domains by lists",
    "C11": "Cedar or native, the same decisions",
    "C13": "tools over MCP, stdio too",
    "C23": "not bound to one provider of databases",
    "C24": "stdio and HTTP share one state",
    "C25": "every table has its counterpart",
    "C26": "acquiring and claiming are atomic",
    "C27": "results of the five gates",
    "C28": "orchestration of models: out of scope",
    "C29": "one storage protocol, two databases",
    "C30": "the nineteen names",
    "C31": "`acquire_lock`",
    "C32": "`release_lock`",
    "C33": "`check_locks`",
    "C34": "`get_work`",
    "C35": "`get_task`",
    "C36": "`complete_work`, examined first",
    "C37": "`submit_work`",
    "C38": "`write_handoff`",
    "C39": "`read_handoff`, latest first",
    "C40": "`discover_agents`",
    "C41": "`register_session`",
    "C42": "`heartbeat`",
    "C43": "`remember`, and forget for good",
    "C44": "`recall`",
    "C45": "`check_guardrails`",
    "C46": "`get_my_profile`",
    "C47": "`query_audit`, itself recorded",
    "C48": "`check_policy`",
    "C49": "`validate_cedar_policy`",
    "C50": "logical keys",
    "C51": "a feature's pause-lock",
    "C52": "`GET /api/v1/tasks/{task_id}`",
    "C53": "an orchestrator cancels",
    "R06": "claiming is atomic and gives a lease",
    "R07": "`already_claimed`",
    "R08": "two instances never share a job",
    "R09": "`renew_lease`",
    "R10": "`release_task`",
    "R11": "a lapsed lease reopens the task; no event stream tells of it: `now_ready` and `retry_after_seconds` do",
    "R12": "the states and what leads from one to another",
}
"""The rows that this version answers for, each in a few words."""


def shown(files: Iterable[Path] | None = None, root: Path = TESTS.parent) -> dict[str, list[str]]:
    """The tests of each row that always run, as `path::name`, in order."""
    found: dict[str, list[str]] = {}
    for file in sorted(files if files is not None else TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if any(_may_be_left_out(decorator) for decorator in node.decorator_list):
                continue
            match = _ROWS.match(node.name + "_")
            for row in match[1].upper().strip("_").split("_") if match else ():
                found.setdefault(row, []).append(f"{file.relative_to(root).as_posix()}::{node.name}")
    return {row: sorted(tests) for row, tests in found.items()}


def always_run(file: Path) -> set[str]:
    """The names of a file's tests that run whatever the machine has."""
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not any(_may_be_left_out(decorator) for decorator in node.decorator_list)
    }


def _may_be_left_out(decorator: ast.expr) -> bool:
    """Whether a mark lets a test pass without running, or fail without being heard: such a test shows nothing."""
    return bool(re.search(r"\bmark\.(?:skip|skipif|xfail)\b", ast.unparse(decorator)))


def page() -> str:
    """`docs/coverage.md`."""
    found = shown()
    lines = [
        "# Coverage",
        "",
        "Which test shows what this version promises of coordination. Made from the tests' names by",
        "`python -m tests.promises`; edits here are lost. A row without a test fails the suite. Below the rows, what must",
        "hold beyond them, on SQLite and on PostgreSQL.",
        "",
        "| row | promise | shown by |",
        "|---|---|---|",
    ]
    for row, words in PROMISES.items():
        names = "<br>".join(f"`{name}`" for name in found.get(row, ()))
        lines.append(f"| {row} | {words} | {names} |")
    for title, points in SECTIONS.items():
        lines += ["", f"## {title}", "", "| | promise | shown by |", "|---|---|---|"]
        lines += [f"| {number} | {point.words} | {_named(point)} |" for number, point in enumerate(points, start=1)]
    return "\n".join(lines) + "\n"


def _named(point: Point) -> str:
    names = [f"`tests/{name}`" for name in (*point.tests, *point.anywhere)]
    return "<br>".join([*names, *(f"`tests/{name}`, where it can run" for name in point.where_possible)])


def main() -> int:
    """Write the page; the rows that no test shows are told."""
    PAGE.write_text(page(), encoding="utf-8")
    missing = sorted(PROMISES.keys() - shown().keys())
    for row in missing:
        sys.stderr.write(f"{row} ({PROMISES[row]}) is shown by no test\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
