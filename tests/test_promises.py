"""Every row that we answer for has a test named after it, and the page that says so is not stale."""

from __future__ import annotations

from pathlib import Path

from tests import promises


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
