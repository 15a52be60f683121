"""The law at the terminal: checked without a gateway, compared, activated and rolled back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from guardhouse.bundle import load
from guardhouse.surfaces.cli import exits
from tests.server import environment
from tests.surfaces.terminal import Desk


def site(folder: Path, name: str = "site") -> Path:
    """A site's policies: everything shipped, and a domain list of its own."""
    place = folder / name
    load.write_site_skeleton(place)
    (place / "network" / "site.yaml").write_text(
        "allow:\n  - id: site.registry\n    why: our packages\n    domains: [registry.example.net]\n"
    )
    return place


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return site(tmp_path)


def test_checking_needs_no_gateway_no_database_and_no_token(tmp_path: Path, policies: Path) -> None:
    home = tmp_path / "empty"
    done = subprocess.run(
        [sys.executable, "-m", "guardhouse", "policy", "check", str(policies)],
        env=environment(home, CLAUDECODE="1"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == exits.OK, done.stderr
    assert "hold" in done.stdout
    assert "not compared with the bundle in force" in done.stdout
    assert not home.exists(), "checking writes nothing"


def test_a_fault_is_told_with_its_file_its_line_and_what_to_do(desk: Desk, tmp_path: Path) -> None:
    place = site(tmp_path, "faulty")
    (place / "cedar" / "mine.cedar").write_text(
        '@id("mine")\npermit(principal, action, resource)\nwhen { context.nothing == };\n'
    )
    (place / "network" / "site.yaml").write_text(
        'allow:\n  - id: site.x\n    why: x\n    domains: ["*"]\n    surprise: 1\n'
    )
    done = desk.run("policy", "check", str(place), expect=exits.FAULT)
    assert f"{place}/cedar/mine.cedar:" in done.out
    assert f"{place}/network/site.yaml:" in done.out
    problems = desk.run("policy", "check", str(place), "--json", expect=exits.FAULT).json["problems"]
    assert {problem["file"] for problem in problems} >= {"cedar/mine.cedar", "network/site.yaml"}
    assert any(problem["line"] > 0 for problem in problems)

    before = desk.json("policy", "show")["digest"]
    refused = desk.run("policy", "activate", str(place), expect=exits.USAGE)
    assert f"{place}/network/site.yaml:" in refused.err
    assert desk.json("policy", "show")["digest"] == before


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (
            "cedar/deep.cedar",
            b'@id("deep") permit(principal, action, resource) when { '
            + b"(" * 20_000
            + b"true"
            + b")" * 20_000
            + b" };",
        ),
        ("cedar/nul.cedar", b"permit(principal,\x00action, resource);"),
        ("network/latin.yaml", "rules: []  # \xe9\n".encode("latin-1")),
        ("network/bomb.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        ("cedar/bidi.cedar", '@id("b") permit(principal, action, resource); // \u202e'.encode()),
    ],
)
def test_hostile_policies_are_faults_and_never_a_crash(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    data: bytes,
) -> None:
    desk = Desk(tmp_path / "empty", environment(tmp_path / "empty"), capsys, monkeypatch)
    place = site(tmp_path, "hostile")
    (place / name).write_bytes(data)
    done = desk.run("policy", "check", str(place), expect=exits.FAULT)
    assert "Traceback" not in done.out + done.err
    assert done.out


def test_a_directory_that_is_not_there_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "empty", environment(tmp_path / "empty"), capsys, monkeypatch)
    done = desk.run("policy", "check", str(tmp_path / "nowhere"), expect=exits.FAULT)
    assert str(tmp_path / "nowhere") in done.out
    desk.run("policy", "activate", str(tmp_path / "nowhere"), expect=exits.FAULT)


def test_law_is_compared_activated_shown_and_rolled_back(desk: Desk, policies: Path) -> None:
    first = desk.json("policy", "show")["digest"]
    told = desk.run("policy", "check", str(policies)).out
    assert "+ network/site.yaml" in told
    assert "grants given before become stale" in told
    changes = desk.json("policy", "check", str(policies))["changes"]
    assert changes["files_added"] == ["network/site.yaml"]
    assert any("site.registry" in rule for rule in changes["rules_added"])
    assert desk.json("policy", "show")["digest"] == first, "checking activates nothing"

    activated = desk.json("policy", "activate", str(policies), "--note", "our registry")
    assert activated["previous_digest"] == first
    assert "it is the bundle in force" in desk.run("policy", "check", str(policies)).out
    assert "was in force already" in desk.run("policy", "activate", str(policies)).out
    assert "registry.example.net" in desk.run("policy", "show", "--file", "network/site.yaml").out
    assert desk.json("call", "check_network", "destination=registry.example.net")["effect"] == "allow"
    desk.run("policy", "show", "--file", "nothing.yaml", expect=exits.USAGE)

    listed = desk.run("policy", "history", "--limit", "1")
    assert "our registry" in listed.out
    assert "--before" in listed.err
    assert activated["digest"][:19] in listed.out

    assert "puts it back" in desk.run("policy", "rollback", "--note", "too wide").out
    assert desk.json("policy", "show")["digest"] == first
    assert desk.json("call", "check_network", "destination=registry.example.net")["effect"] == "deny"
    short = activated["digest"].removeprefix("sha256:")[:10]
    assert desk.json("policy", "show", short)["active"] is False
    assert desk.json("policy", "rollback", short)["digest"] == activated["digest"]
    assert desk.json("policy", "rollback", first)["digest"] == first
    desk.run("policy", "rollback", "ffffff", expect=exits.USAGE)
    desk.run("policy", "rollback", "latest", expect=exits.USAGE)
