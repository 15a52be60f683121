"""Every row that we answer for has a test named after it, every point has tests, and the page that says so is not stale."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests import points, promises

POINTS = [point for section in points.SECTIONS.values() for point in section]


def test_every_row_is_shown_by_a_test() -> None:
    missing = sorted(promises.PROMISES.keys() - promises.shown().keys())
    assert not missing, "name a test after each of these rows, such as `test_c27_…`"


def test_the_page_is_not_stale() -> None:
    assert promises.PAGE.read_text(encoding="utf-8") == promises.page(), "run `python -m tests.promises`"


def test_a_test_that_may_be_skipped_shows_nothing(tmp_path: Path) -> None:
    marks = ("", "@pytest.mark.skip", "@pytest.mark.skipif(True, reason='no')", "@mark.xfail(strict=True)")
    made = tmp_path / "test_made_up.py"
    made.write_text("".join(f"{mark}\ndef test_c0{number}_x() -> None: ...\n" for number, mark in enumerate(marks, 1)))
    assert set(promises.shown([made], tmp_path)) == {"C01"}


def test_rows_are_read_from_names() -> None:
    file = promises.TESTS / "gateway" / "test_housekeeping.py"
    found = promises.shown([file])
    assert set(found) == {"A09", "A38", "C05", "R11", "R12"}
    assert all(name.startswith("tests/gateway/test_housekeeping.py::test_") for name in found["C05"])


def test_every_point_is_shown_by_tests_that_always_run() -> None:
    for point in POINTS:
        assert point.tests or point.anywhere, point.words
        for name in (*point.tests, *point.anywhere):
            path, _, function = name.partition("::")
            assert function in promises.always_run(promises.TESTS / path), f"{name} is no test that always runs"
        for name in point.where_possible:
            path, _, function = name.partition("::")
            assert f"def {function}(" in (promises.TESTS / path).read_text(encoding="utf-8"), f"{name} is no test"


def test_every_point_is_shown_on_both_databases() -> None:
    """By what the runner itself would run: a test tells its database in its name or in its parameters."""
    named = sorted({name for point in POINTS for name in point.tests})
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named],
        cwd=promises.TESTS,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert listed.returncode == 0, listed.stdout + listed.stderr
    databases: dict[str, set[str]] = {name: set() for name in named}
    for line in listed.stdout.splitlines():
        name = line.removeprefix("tests/").partition("[")[0]
        if name in databases:
            databases[name] |= set(re.findall(r"sqlite|postgresql", line.partition("::")[2]))
    for point in POINTS:
        seen = {database for name in point.tests for database in databases[name]}
        assert not point.tests or seen == {"sqlite", "postgresql"}, point.words
        assert all(databases[name] for name in point.tests), point.words
