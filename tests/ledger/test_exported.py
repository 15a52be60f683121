"""What an export alone can and cannot show."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardhouse.ledger.exported import verify_export


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_an_export_without_entries_proves_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(data)
    report = verify_export(path)
    assert [fault.problem for fault in report.faults] == ["the export holds no entry, so there is nothing to verify"]
    assert not report.ok


def test_what_a_cut_export_does_not_prove_is_said(tmp_path: Path) -> None:
    whole = (Path(__file__).parents[1] / "golden" / "ledger_v1.jsonl").read_bytes().splitlines(keepends=True)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(whole[:-1]))
    report = verify_export(path)
    assert report.ok
    assert any("newest entries that are missing" in doubt for doubt in report.not_proved)
