"""Every command of the line in every place where it may be run: what it prints, on which stream, and its exit status.

Programs get one JSON value on standard output whatever happens, people one line with the next step, and nobody a traceback.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from guardhouse.surfaces.cli import exits
from guardhouse.surfaces.cli.main import command_line
from tests.server import Server, environment
from tests.surfaces.terminal import Desk, Done, prepare, served

FOREVER = {
    "serve": "serves until it is ended; tests/surfaces/test_cli_ground.py and many more",
    "mcp": "speaks JSON-RPC; tests/surfaces/mcp/",
    "hook": "speaks its client's protocol; tests/surfaces/hooks/",
    "demo": "plays its own gateway; tests/journeys/test_demo.py",
    "approvals watch": "watches until it is ended; tests/surfaces/test_cli_approvals.py",
    "service install": "changes the login's services; tests/surfaces/install/",
    "service remove": "changes the login's services; tests/surfaces/install/",
}
"""Commands that are shown elsewhere, and where."""

DAY: tuple[str, ...] = (
    "init",
    "status",
    "doctor",
    "migrate",
    "install codex --dry-run",
    "uninstall codex --dry-run",
    "check ls",
    "call acquire_lock key=src/app.py ttl_seconds=300",
    "agents add builder --trust 2 --role developer",
    "agents list",
    "agents trust builder 1 --reason trial",
    "agents suspend builder --reason review",
    "agents reinstate builder",
    "agents pause builder --for 30m",
    "agents resume builder",
    "agents stop builder --reason wrong",
    "people add ada --role operator --role security",
    "people list",
    "tokens issue builder --label machine",
    "tokens list builder",
    "tokens revoke {token_id} --reason leaked",
    "people disable ada --reason left",
    "workspaces create payments --person ada",
    "workspaces list",
    "workspaces set --pending 12h --grant 30m",
    "workspaces pause --for 30m --reason freeze",
    "workspaces resume",
    "approvals list --state all",
    "approvals show {refused}",
    "approvals refuse {refused} --reason no",
    "approvals grant {granted} --reason yes",
    "allow {blocked} --for 2h --reason night",
    "grants list --over",
    "grants revoke {grant} --reason done",
    "why {blocked}",
    "wrong {blocked} --expected allow --reason own",
    "mode observe pack git --for 2h --reason trying",
    "mode show",
    "mode enforce pack git",
    "policy check {policies}",
    "policy activate {policies} --note new",
    "policy history --limit 5",
    "policy show",
    "policy rollback --note wide",
    "guardrails score {rows}",
    "report --since 24h",
    "ledger verify",
    "ledger export",
    "ledger key",
    "ledger checkpoint",
    "ledger prove {blocked}",
    "ledger receipt {blocked}",
    "ledger replay",
    "ledger segments list",
    "ledger segments add --count 4",
    "ledger segments seal entry_0000 --location vault",
    "ledger segments detach entry_0000",
    "agents retire builder --reason over",
    "tokens rotate",
    "workspaces stop --reason leaked",
)
"""A line for each command, in an order in which each finds what it needs."""

ENDS = {"ledger segments list": 69, "ledger segments add": 69, "ledger segments seal": 69, "ledger segments detach": 69}
"""Lines of the day that end otherwise than with 0 on SQLite, where they are told what to do instead."""


def leaves() -> list[str]:
    """Every command that has none below it, by its words."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", {})
        if not below:
            yield " ".join(words), command
        for name, one in below.items():
            yield from walk(one, (*words, name))

    return [words for words, _command in walk(typer.main.get_command(command_line()), ())]


LEAVES = leaves()


def leaf_of(line: str) -> str:
    """The command that a line names."""
    return max((leaf for leaf in LEAVES if f"{line} ".startswith(f"{leaf} ")), key=len)


LINES = {leaf_of(line): line for line in DAY}


def test_every_command_has_its_line_or_its_reason() -> None:
    assert set(LEAVES) == LINES.keys() | FOREVER.keys()
    assert not LINES.keys() & FOREVER.keys()


@dataclass
class Stage:
    """A served home, and what the lines of a day name."""

    desk: Desk
    server: Server
    names: dict[str, str]

    def words(self, line: str) -> list[str]:
        return shlex.split(line.format(**self.names))


@contextmanager
def stage(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / "home"
    with served(home) as (env, server):
        desk = Desk(home, env, capsys, monkeypatch)
        agent = desk.agent("asker")["token"]
        asked = [
            desk.json("call", "check_guardrails", f"operation_text=npm publish --tag {number}", token=agent)
            for number in (1, 2)
        ]
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"command": "ls", "expected": "allow"}\n')
        policies = tmp_path / "policies"
        shutil.copytree(home / "policies", policies)
        (policies / "gateway.yaml").write_text("include: shipped@1\nengine: native\n")
        names = {"refused": asked[0]["approval_id"], "granted": asked[1]["approval_id"]}
        names |= {"blocked": asked[0]["decision_id"], "rows": str(rows), "policies": str(policies)}
        yield Stage(desk, server, names)


def one_value(done: Done) -> Any:
    """The one JSON value on standard output, and nothing else on either stream but a line of ours."""
    assert "Traceback" not in done.err, done.err
    return json.loads(done.out)


def test_with_a_gateway_every_command_answers_people_and_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage(tmp_path, capsys, monkeypatch) as here:
        for line in DAY:
            leaf = leaf_of(line)
            here.names.setdefault("token_id", "")
            if leaf == "tokens revoke":
                listed = here.desk.json("tokens", "list", "builder")["tokens"]
                here.names["token_id"] = listed[-1]["token_id"]
            if leaf == "grants revoke":
                here.names["grant"] = here.desk.json("grants", "list")["grants"][0]["grant_id"]
            words = here.words(line)
            done = here.desk.run(*words, "--json", expect=ENDS.get(leaf, 0))
            if leaf == "ledger export":
                assert done.lines
            else:
                value = one_value(done)
                assert (value.get("error") is not None) == (leaf in ENDS), (line, value)
            if leaf not in ENDS:
                assert done.err == "", (line, done.err)


NEEDS_NOTHING = frozenset(
    {
        "init",
        "migrate",
        "install",
        "uninstall",
        "check",
        "policy check",
        "guardrails score",
    }
)
"""What may be done in a home where nothing is yet; `install` and `uninstall` only as a dry run."""


def test_where_nothing_is_yet_every_other_command_names_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / "home"
    rows, policies = tmp_path / "rows.jsonl", tmp_path / "policies"
    rows.write_text('{"command": "ls", "expected": "allow"}\n')
    policies.mkdir()
    (policies / "gateway.yaml").write_text("include: shipped@1\n")
    names = dict.fromkeys(("refused", "granted", "grant", "blocked", "token_id"), "xxx_01") | {
        "rows": str(rows),
        "policies": str(policies),
    }
    desk = Desk(home, environment(home), capsys, monkeypatch)
    for leaf, line in LINES.items():
        if leaf in ("init", "migrate"):
            continue
        words = shlex.split(line.format(**names))
        done = desk.run(*words, "--json", expect=None)
        value = one_value(done)
        if leaf in NEEDS_NOTHING:
            assert (done.status, done.err) == (0, ""), (line, done)
            continue
        assert done.status in (exits.UNAVAILABLE, exits.USAGE, exits.REFUSED), (line, done)
        if leaf not in ("status", "doctor"):
            assert value["error"]["message"] in done.err
            assert len(done.err.splitlines()) == 1, (line, done.err)
            assert "`" in done.err or leaf in ENDS, (line, done.err)
        assert not home.exists(), f"`{line}` made a home that nobody asked for"


ANYBODY = NEEDS_NOTHING | {
    "status",
    "ledger verify",
    "ledger key",
    "ledger checkpoint",
    "ledger prove",
    "ledger receipt",
    "ledger replay",
}
"""What needs no token: it asks no gateway, or changes nothing that a second run would not leave as it is."""


def test_in_an_agents_shell_the_operators_token_is_used_by_no_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage(tmp_path, capsys, monkeypatch) as here:
        here.names |= {"grant": "grt_01", "token_id": "tok_01"}
        before = entries(here)
        marked = [("CLAUDECODE", *one) for one in LINES.items()]
        marked += [(one, "people list", "people list") for one in ("CODEX_SANDBOX", "GEMINI_CLI", "CURSOR_AGENT")]
        for shell, leaf, line in marked:
            done = here.desk.run(*here.words(line), "--json", shell=shell, expect=None)
            value = one_value(done)
            if leaf in ANYBODY and leaf != "check":
                assert done.status == 0, (line, done)
            elif leaf in ENDS:
                assert done.status == ENDS[leaf]
            elif leaf == "doctor":
                assert done.status == exits.FAULT
                assert "your own terminal" in str(value)
            else:
                assert done.status == exits.REFUSED, (line, done)
                assert value["error"]["code"] == "unauthenticated"
                assert shell in done.err
                assert "in your own terminal" in done.err, (line, done.err)
        assert entries(here) == before


def entries(here: Stage) -> int:
    """How many entries the ledger has: what was asked with a token left one."""
    return int(here.desk.json("ledger", "verify")["tree_size"])


def test_an_agents_own_token_does_its_work_and_governs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage(tmp_path, capsys, monkeypatch) as here:
        here.names |= {"grant": "grt_01", "token_id": "tok_01"}
        token = here.desk.agent("worker")["token"]
        done = here.desk.run("check", "ls", "--json", token=token, shell="CLAUDECODE")
        assert one_value(done)["verdict"] == "allow"
        lock = "call acquire_lock key=src/app.py ttl_seconds=300"
        assert one_value(here.desk.run(*lock.split(), "--json", token=token, shell="CLAUDECODE"))["fence"] >= 1
        for leaf, line in LINES.items():
            if leaf in ANYBODY | ENDS.keys() | {"call", "doctor", "tokens rotate", "approvals show", "report"}:
                continue
            done = here.desk.run(*here.words(line), "--json", token=token, shell="CLAUDECODE", expect=exits.REFUSED)
            assert one_value(done)["error"]["code"] == "people_only", (line, done)
        assert one_value(here.desk.run("tokens", "rotate", "--json", token=token, shell="CLAUDECODE"))["token"]


def test_a_line_that_cannot_be_read_is_told_with_the_way_to_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    desk = Desk(home, environment(home), capsys, monkeypatch)
    for leaf in LEAVES:
        asked = ("--json",) if leaf in LINES else ()
        done = desk.run(*leaf.split(), "--no-such-option", *asked, expect=exits.USAGE)
        if asked:
            assert one_value(done)["error"]["code"] == "validation"
        else:
            assert done.out == ""
        first, second = done.err.splitlines()
        assert first.startswith("guardhouse: ")
        assert second == f"  `guardhouse {leaf} --help` shows how"
    assert not home.exists()


def test_without_its_gateway_a_home_is_asked_in_this_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    desk = Desk(home, prepare(home), capsys, monkeypatch)
    for line in ("people list", "call get_my_profile", "agents add builder --trust 2"):
        done = desk.run(*line.split(), "--json")
        assert (one_value(done)["decision_id"].startswith("dec_"), done.err) == (True, "")
    told = one_value(desk.run("check", "git push --force", "--json", expect=exits.BLOCK))
    assert (told["recorded"], "preview, not recorded" in told["note"]) == (False, True)
    assert one_value(desk.run("status", "--json", expect=exits.UNAVAILABLE))["running"] is False
