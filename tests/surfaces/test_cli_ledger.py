"""The ledger at the terminal: exported, verified, proved and replayed; every tampering is named."""

from __future__ import annotations

import base64
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardhouse.__main__ import _Composition
from guardhouse.ledger import checkpoint
from guardhouse.ledger.keys import Verifier
from guardhouse.ledger.tree import verify_consistency, verify_inclusion
from guardhouse.surfaces.cli import exits
from guardhouse.surfaces.cli.main import main
from tests.server import environment
from tests.surfaces.terminal import Desk, prepare


@pytest.fixture(scope="module")
def quiet_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home without a server whose ledger holds a few calls and their checkpoint."""
    home = tmp_path_factory.mktemp("quiet")
    env = prepare(home)
    for arguments in (("agents", "add", "one", "--trust", "2"), ("people", "list"), ("agents", "list")):
        with pytest.MonkeyPatch.context() as patch:
            for name in (*os.environ, *env):
                if name.startswith("GUARDHOUSE_"):
                    patch.delenv(name, raising=False)
            for name, value in env.items():
                if name.startswith("GUARDHOUSE_"):
                    patch.setenv(name, value)
            assert main(_Composition(), arguments) == exits.OK
    return home


@pytest.fixture
def away(tmp_path: Path, quiet_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A terminal at a copy of the quiet home, free to be tampered with."""
    home = tmp_path / "copy"
    shutil.copytree(quiet_home, home)
    return Desk(home, environment(home), capsys, monkeypatch)


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_an_export_verifies_elsewhere_with_a_key_and_a_checkpoint(desk: Desk, tmp_path: Path) -> None:
    for _ in range(3):
        desk.run("agents", "list")
    key, checkpoint, export = tmp_path / "audit.vkey", tmp_path / "checkpoint", tmp_path / "ledger.jsonl"
    key.write_text(desk.run("ledger", "key").out)
    decision = desk.json("people", "list")["decision_id"]
    desk.run("ledger", "receipt", decision)  # waits until a checkpoint covers it
    checkpoint.write_text(desk.run("ledger", "checkpoint", "--workspace", "default").out)
    size = desk.json("ledger", "checkpoint", "--workspace", "default")["tree_size"]
    export.write_text(desk.run("ledger", "export", "--json").out)

    elsewhere = Desk(tmp_path / "empty", environment(tmp_path / "empty"), desk.capsys, desk.patch)
    told = elsewhere.json("ledger", "verify", str(export), "--outside", str(checkpoint), "--key", str(key))
    assert told["ok"] is True
    assert told["outside_checkpoints"] == 1
    assert told["tree_size"] >= size
    assert told["first_bad_entry"] is None
    assert not any("came from this home" in line for line in told["not_proved"])

    lines = [json.loads(line) for line in export.read_text().splitlines()]
    entry = json.loads(base64.b64decode(lines[1]["body"]))
    entry["effect"] = "deny" if entry["effect"] == "allow" else "allow"
    forged = lines[1] | {"body": base64.b64encode(json.dumps(entry).encode()).decode(), "entry": entry}
    edits: list[tuple[str, list[Any], int | None]] = [
        ("edited", [lines[0], forged, *lines[2:]], 1),
        ("deleted", [*lines[:2], *lines[3:]], 3),
        ("reordered", [lines[0], lines[2], lines[1], *lines[3:]], 2),
        ("twice", [lines[0], lines[0], *lines[1:]], 0),
        ("cut", lines[: size - 1], None),
        ("not json", ["nonsense", *lines[1:]], 1),
    ]
    for name, tampered, first in edits:
        file = write(tmp_path / f"{name}.jsonl", *tampered)
        done = elsewhere.run(
            "ledger", "verify", str(file), "--outside", str(checkpoint), "--key", str(key), "--json", expect=exits.FAULT
        )
        assert done.json["ok"] is False, name
        assert done.json["first_bad_entry"] == first, (name, done.json["faults"][:3])
        text = elsewhere.run(
            "ledger", "verify", str(file), "--outside", str(checkpoint), "--key", str(key), expect=exits.FAULT
        )
        assert "DOES NOT HOLD" in text.out
    elsewhere.run("ledger", "verify", str(tmp_path / "nowhere"), expect=exits.USAGE)
    elsewhere.run("ledger", "verify", str(export), "--key", "guardhouse+00+AA", expect=exits.USAGE)


def test_a_receipt_verifies_offline_with_nothing_but_the_key(desk: Desk, tmp_path: Path) -> None:
    key = desk.json("ledger", "key")["keys"][0]["key"]
    decision = desk.json("people", "list")["decision_id"]
    file = tmp_path / "receipt"
    desk.run("ledger", "receipt", decision, "--output", str(file))
    elsewhere = Desk(tmp_path / "empty", environment(tmp_path / "empty"), desk.capsys, desk.patch)
    told = elsewhere.json("ledger", "receipt", "--verify", str(file), "--key", key)
    assert told["ok"] is True
    assert told["entry"]["id"] == decision
    assert "the receipt holds" in elsewhere.run("ledger", "receipt", "--verify", str(file), "--key", key).out

    text = file.read_text()
    good = text.splitlines()
    entry = base64.b64decode(good[1].removeprefix("extra ")).replace(b'"allow"', b'"denyy"')
    for forged in (
        text.replace(good[1], "extra " + base64.b64encode(entry).decode()),
        text.replace(good[2], "index 0" if good[2] != "index 0" else "index 1"),
        text.replace("guardhouse/", "guardhouse/other"),
        "",
        "nonsense",
    ):
        file.write_text(forged)
        done = elsewhere.run("ledger", "receipt", "--verify", str(file), "--key", key, "--json", expect=exits.FAULT)
        assert done.json["ok"] is False
    file.write_bytes(b"\xff\xfe\x00")
    elsewhere.run("ledger", "receipt", "--verify", str(file), "--key", key, expect=exits.FAULT)
    elsewhere.run("ledger", "receipt", "--verify", str(file), expect=exits.USAGE)
    desk.run("ledger", "receipt", "dec_0", expect=exits.USAGE)


def test_proofs_lead_to_the_roots_that_they_name(desk: Desk) -> None:
    for _ in range(2):
        desk.run("people", "list")
    decision = desk.json("people", "list")["decision_id"]
    desk.run("people", "list")
    told = desk.json("ledger", "prove", decision)
    assert verify_inclusion(
        bytes.fromhex(told["leaf_hash"]),
        told["index"],
        told["tree_size"],
        [bytes.fromhex(step) for step in told["path"]],
        bytes.fromhex(told["root_hash"]),
    )
    grown = desk.json("ledger", "prove", "--from", "2", "--to", str(told["tree_size"]), "--workspace", "default")
    assert grown["second_root"] == told["root_hash"]
    assert verify_consistency(
        2,
        told["tree_size"],
        bytes.fromhex(grown["first_root"]),
        bytes.fromhex(grown["second_root"]),
        [bytes.fromhex(step) for step in grown["path"]],
    )
    assert "path" in desk.run("ledger", "prove", decision).out
    for arguments in (
        ("prove",),
        ("prove", decision, "--to", "1"),
        ("prove", "--from", "99999999"),
        ("prove", "dec_0"),
    ):
        desk.run("ledger", *arguments, expect=exits.USAGE)


def test_every_decision_comes_out_again(desk: Desk) -> None:
    told = desk.json("ledger", "replay")
    assert told["ok"] is True
    assert told["entries"] > 0
    assert desk.json("ledger", "verify")["ok"] is True


def test_following_goes_on_from_where_it_is_told(desk: Desk) -> None:
    desk.run("people", "list")
    last = desk.run("ledger", "export", "--json").lines[-1]["sequence"]
    follow = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "guardhouse",
            "ledger",
            "export",
            "--json",
            "--follow",
            "--after",
            str(last),
            "--every",
            "0.1",
        ],
        env=desk.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follow.stdout is not None
        sequences = [json.loads(follow.stdout.readline())["sequence"]]
        made = desk.json("people", "list")["decision_id"]
        while True:
            line = json.loads(follow.stdout.readline())
            sequences.append(line["sequence"])
            if line["entry"]["id"] == made:
                break
        assert sequences == list(range(last + 1, last + 1 + len(sequences))), (
            "nothing is left out and nothing comes twice"
        )
    finally:
        follow.kill()
        follow.wait()
        follow.stdout.close()


def test_an_export_is_cut_by_time_and_reads_as_text(desk: Desk) -> None:
    desk.run("people", "list")
    assert desk.run("ledger", "export", "--until", "2001-01-01").out == ""
    assert desk.run("ledger", "export", "--json", "--since", "2999-01-01T00:00:00Z").lines == []
    text = desk.run("ledger", "export").out
    assert text.splitlines()[0].split()[0] == "0"
    assert "list_people" in text
    for arguments in (("--since", "yesterday"), ("--follow", "--until", "2030-01-01")):
        desk.run("ledger", "export", *arguments, expect=exits.USAGE)


TAMPERINGS: dict[str, tuple[Callable[[sqlite3.Connection], Any], int | None]] = {
    "an edited entry": (
        lambda db: db.execute("UPDATE entry SET body = replace(CAST(body AS TEXT), 'allow', 'allou') WHERE sequence = 1"), 1,
    ),
    "an entry of another type": (lambda db: db.execute("UPDATE entry SET body = 1000000000000 WHERE sequence = 1"), 1),
    "an edited column": (lambda db: db.execute("UPDATE entry SET outcome = 'refused' WHERE sequence = 2"), 2),
    "a deleted entry": (lambda db: db.execute("DELETE FROM entry WHERE sequence = 1"), 2),
    "a deleted payload": (lambda db: db.execute("DELETE FROM payload WHERE sequence = 0"), 0),
    "no entries at all": (lambda db: db.execute("DELETE FROM entry"), None),
    "no head": (lambda db: db.execute("DELETE FROM workspace_head"), None),
    "no trace in the tables": (
        lambda db: [db.execute(f"DELETE FROM {table}") for table in ("entry", "workspace_head", "checkpoint", "workspace")], None,
    ),
    "a garbled policy version": (lambda db: db.execute("UPDATE bundle_version SET body = x'ff00'"), None),
    "a garbled checkpoint": (lambda db: db.execute("UPDATE checkpoint SET note = 'x'"), None),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_with_the_database_is_named(away: Desk, name: str) -> None:
    assert away.json("ledger", "verify")["ok"] is True
    tamper, first = TAMPERINGS[name]
    with sqlite3.connect(away.home / "guardhouse.db", isolation_level=None) as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        tamper(database)
    database.close()
    done = away.run("ledger", "verify", "--json", expect=exits.FAULT)
    assert done.json["ok"] is False
    assert done.json["faults"]
    assert done.json["first_bad_entry"] == first, done.json["faults"]


def test_a_ledger_that_cannot_be_read_is_no_verdict(away: Desk, tmp_path: Path) -> None:
    (away.home / "guardhouse.db").unlink()
    done = away.run("ledger", "verify", expect=exits.UNAVAILABLE)
    assert "there is no database" in done.err
    assert not (away.home / "guardhouse.db").exists(), "looking makes nothing"
    (away.home / "guardhouse.db").write_bytes(b"")
    assert "guardhouse migrate" in away.run("ledger", "verify", expect=exits.UNAVAILABLE).err


def test_verifying_shows_how_far_it_is_on_a_terminal_and_keeps_json_clean(away: Desk) -> None:
    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "guardhouse", "ledger", "verify", "--json"],
            env=away.env | {"TERM": "xterm", "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=follower,
            text=True,
            timeout=120,
        )
        os.close(follower)
        seen = os.read(leader, 65_536).decode()
    finally:
        os.close(leader)
    assert "verifying" in seen
    assert json.loads(done.stdout)["ok"] is True


def test_a_rotated_key_signs_beside_the_one_before_and_the_past_still_verifies(away: Desk) -> None:
    (before,) = (one["key"] for one in away.json("ledger", "key")["keys"])
    refused = away.run("ledger", "key", "--rotate", shell="CLAUDECODE", expect=exits.REFUSED)
    assert "run this in your own terminal" in refused.err
    new, old = (one["key"] for one in away.json("ledger", "key", "--rotate")["keys"])
    assert old == before
    assert new != before
    size = away.json("ledger", "checkpoint", "--workspace", "default")["tree_size"]
    subprocess.run(
        [sys.executable, "-m", "guardhouse", "people", "list"], env=away.env, check=True, capture_output=True
    )
    note = away.run("ledger", "checkpoint", "--workspace", "default").out.rstrip("\n") + "\n"
    for known in (new, old):
        assert checkpoint.parse(note, (Verifier.parse(known),)).size > size
    assert away.json("ledger", "verify")["ok"] is True
