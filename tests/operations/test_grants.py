"""A person's leave for what one decision refused: it opens that very thing to that agent, there, while it lasts."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from guardhouse.bundle import versions
from guardhouse.gateway.replay import replay
from guardhouse.guardrails.scoring import read_rows
from guardhouse.surfaces.cli.grants import proposal
from tests.world import Member, World, second_process, shipped_bundle, world

BLOCKS = "git push --force origin main"


@pytest.fixture
def home(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def check(home: World, who: Member, text: str = BLOCKS, cwd: str = "/srv/app", **more: Any) -> dict[str, Any]:
    body = {"operation_text": text, "kind": "shell", "cwd": cwd, **more}
    outcome = home.call(who, "check_guardrails", body)
    assert outcome.performed, (outcome.code, outcome.message)
    return dict(outcome.result or {}) | {"decision_id": outcome.decision_id}


def allow(home: World, decision_id: str, by: Member | None = None, **more: Any) -> dict[str, Any]:
    body = {"decision_id": decision_id, "reason": "agreed in review", **more}
    return home.done(by or home.operator, "allow_decision", body)


def test_without_a_grant_nothing_is_open(home: World) -> None:
    worker = home.agent("worker")
    refused = check(home, worker)
    assert [check(home, worker)["verdict"], refused["verdict"]] == ["block", "block"]
    assert home.done(home.operator, "list_grants", {})["grants"] == []


def test_a_grant_opens_the_very_thing_once_and_leaves_its_trace(home: World) -> None:
    worker = home.agent("worker")
    refused = check(home, worker)
    grant = allow(home, refused["decision_id"])
    assert (grant["state"], grant["once"], grant["rules"]) == ("live", True, ["git.push.force"])
    told = check(home, worker, "git   push  --force \\\n 'origin' main\n")
    assert (told["verdict"], told["safe"], told["native_reason"]) == ("warn", True, "")
    assert [item["exempted_by"] for item in told["violations"]] == [[grant["grant_id"]]]
    entry = home.entry(told["decision_id"])
    step = next(step for step in entry["steps"] if step["gate"] == "guardrails")
    assert grant["grant_id"] in step["rules"]
    assert f"exempted by `{grant['grant_id']}`" in step["message"]
    assert f"grant:{grant['grant_id']}" in entry["objects"]
    assert check(home, worker)["verdict"] == "block"
    shown = home.done(home.operator, "list_grants", {"over": True})["grants"][0]
    assert (shown["state"], shown["spent_by"]) == ("spent", told["decision_id"])


@pytest.mark.parametrize(
    ("text", "cwd", "more"),
    [
        ("git push --force origin release", "/srv/app", {}),
        ("git push --force origin main && git push --force origin release", "/srv/app", {}),
        ("git push --force origin main; ls", "/srv/app", {}),
        ("git push --force origin $BRANCH", "/srv/app", {}),
        ("X=1; git push --force origin main", "/srv/app", {}),
        ("cd /elsewhere; git push --force origin main", "/srv/app", {}),
        ("sudo git push --force origin main", "/srv/app", {}),
        (BLOCKS, "/srv/other", {}),
        (BLOCKS, "", {}),
        (BLOCKS, "/srv/app", {"file_paths": ["README.md"]}),
    ],
)
def test_a_grant_opens_nothing_else(home: World, text: str, cwd: str, more: dict[str, Any]) -> None:
    worker = home.agent("worker")
    allow(home, check(home, worker)["decision_id"], seconds=3600)
    assert check(home, worker, text, cwd, **more)["verdict"] == "block"
    assert check(home, worker)["verdict"] == "warn"


def test_a_grant_serves_no_other_agent(home: World) -> None:
    worker, other = home.agent("worker"), home.agent("other")
    allow(home, check(home, worker)["decision_id"], seconds=3600)
    assert check(home, other)["verdict"] == "block"
    assert check(home, worker)["verdict"] == "warn"


def test_a_name_that_leads_elsewhere_since_is_another_thing(home: World, tmp_path: Path) -> None:
    worker = home.agent("worker")
    (tmp_path / "build").mkdir()
    (tmp_path / "precious").mkdir()
    given = {"cwd": str(tmp_path), "tighten": "tighten: [{category: filesystem, set: block}]"}
    refused = check(home, worker, "shred -u build/key", **given)
    assert refused["verdict"] == "block", refused
    allow(home, refused["decision_id"], seconds=3600)
    assert check(home, worker, "shred -u build/key", **given)["verdict"] == "warn"
    (tmp_path / "build").rmdir()
    (tmp_path / "build").symlink_to(tmp_path / "precious")
    assert check(home, worker, "shred -u build/key", **given)["verdict"] == "block"


@pytest.mark.parametrize(
    ("text", "name", "hard"),
    [
        ("shred -u 'the build/key'", "the build", False),
        ("shred -u the\\ build/key", "the build", False),
        ("cd sub && shred -u key", "sub/key", False),
        ("shred -u b*", "b1", False),
        ("shred -u build/key ./other", "other", False),
        (f"echo {' '.join(f'a{number}' for number in range(300))}; shred -u build/key", "build", False),
        ("cd sub && shred -u key", "sub/key", True),
        ("shred -u build/key ./other", "other", True),
    ],
)
def test_a_grant_follows_the_names_that_the_guard_follows(
    home: World, tmp_path: Path, text: str, name: str, hard: bool
) -> None:
    """However a command names a file: quoted, from another folder, by a pattern, far behind, or as another name of it."""
    worker = home.agent("worker")
    (tmp_path / "sub").mkdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "key").touch()
    given = {"cwd": str(tmp_path), "tighten": "tighten: [{category: filesystem, set: block}]"}
    refused = check(home, worker, text, **given)
    assert refused["verdict"] == "block", refused
    allow(home, refused["decision_id"], seconds=3600)
    assert check(home, worker, text, **given)["verdict"] == "warn"
    made = tmp_path / name
    made.hardlink_to(tmp_path / "precious" / "key") if hard else made.symlink_to(tmp_path / "precious")
    assert check(home, worker, text, **given)["verdict"] == "block"
    made.unlink()
    assert check(home, worker, text, **given)["verdict"] == "warn", "it is the same thing again"


def test_an_agent_allows_itself_nothing_and_an_auditor_nobody(home: World) -> None:
    worker, lead = home.agent("worker"), home.agent("lead", 4)
    decision = check(home, worker)["decision_id"]
    for who in (worker, lead):
        for operation, body in (
            ("allow_decision", {"decision_id": decision, "reason": "mine"}),
            ("list_grants", {}),
            ("revoke_grant", {"grant_id": "grt_1"}),
            ("explain_decision", {"decision_id": decision}),
            ("mark_wrong", {"decision_id": decision, "expected": "allow", "reason": "mine"}),
        ):
            assert home.call(who, operation, body).code == "people_only"
    auditor = home.person("ann", "auditor")
    refused = home.call(auditor, "allow_decision", {"decision_id": decision, "reason": "why not"})
    assert refused.code == "policy_not_permitted"
    assert check(home, worker)["verdict"] == "block"
    assert allow(home, decision, home.person("sam", "security"))["state"] == "live"


def test_a_grant_needs_a_reason_and_a_bounded_time(home: World) -> None:
    decision = check(home, home.agent("worker"))["decision_id"]
    for body in ({}, {"reason": ""}, {"reason": "r", "seconds": 59}, {"reason": "r", "seconds": 86_401}):
        assert home.call(home.operator, "allow_decision", {"decision_id": decision, **body}).code == "validation"


def test_a_grant_ends_by_time_by_hand_and_with_the_law(home: World) -> None:
    worker = home.agent("worker")
    decision = check(home, worker)["decision_id"]
    allow(home, decision, seconds=600)
    assert [check(home, worker)["verdict"] for _ in range(2)] == ["warn", "warn"]
    home.later(601)
    assert check(home, worker)["verdict"] == "block"
    again = allow(home, decision, seconds=600)
    assert check(home, worker)["verdict"] == "warn"
    home.done(home.operator, "revoke_grant", {"grant_id": again["grant_id"], "reason": "not after all"})
    assert check(home, worker)["verdict"] == "block"
    assert home.call(home.operator, "revoke_grant", {"grant_id": again["grant_id"]}).code == "grant_over"
    assert home.call(home.operator, "revoke_grant", {"grant_id": "grt_0nobody"}).code == "not_found"


def test_a_grant_binds_the_next_call_in_every_process_and_serves_once_in_all(home: World) -> None:
    worker = home.agent("worker")
    with second_process(home) as there, ThreadPoolExecutor(8) as pool:
        refused = check(there, worker)
        grant = allow(home, refused["decision_id"])
        told = list(pool.map(lambda number: check((home, there)[number % 2], worker)["verdict"], range(12)))
        assert sorted(told) == ["block"] * 11 + ["warn"]
        lasting = allow(there, refused["decision_id"], seconds=600)
        assert check(home, worker)["verdict"] == "warn"
        home.done(home.operator, "revoke_grant", {"grant_id": lasting["grant_id"]})
        assert check(there, worker)["verdict"] == "block"
    assert grant["once"] is True


def test_what_depends_on_variables_is_granted_once_only(home: World) -> None:
    worker, text = home.agent("worker"), 'git push --force origin "$BRANCH"'
    decision = check(home, worker, text)["decision_id"]
    lasting = home.call(home.operator, "allow_decision", {"decision_id": decision, "seconds": 600, "reason": "r"})
    assert lasting.code == "open_ended"
    allow(home, decision)
    assert [check(home, worker, text)["verdict"] for _ in range(2)] == ["warn", "block"]


def test_what_guards_guardhouse_and_what_was_not_refused_is_granted_to_nobody(home: World) -> None:
    worker = home.agent("worker")
    guarded = check(home, worker, "rm -rf ~/.local/share/guardhouse")
    assert guarded["verdict"] == "block"
    assert "no grant allows it" in guarded["native_reason"]
    body = {"decision_id": guarded["decision_id"], "reason": "r"}
    assert home.call(home.operator, "allow_decision", body).code == "always_binds"
    safe = check(home, worker, "ls")
    body = {"decision_id": safe["decision_id"], "reason": "r"}
    assert home.call(home.operator, "allow_decision", body).code == "nothing_to_allow"
    own = check(home, home.operator)
    body = {"decision_id": own["decision_id"], "reason": "r"}
    assert home.call(home.operator, "allow_decision", body).code == "nothing_to_allow"


def test_what_was_erased_is_granted_to_nobody(home: World) -> None:
    decision = check(home, home.agent("worker"))["decision_id"]
    home.done(home.person("sam", "security"), "erase_payload", {"decision_ids": [decision], "reason": "personal"})
    refused = home.call(home.operator, "allow_decision", {"decision_id": decision, "reason": "r"})
    assert refused.code == "payload_erased"


def test_a_repository_that_tightens_since_ends_a_grant(home: World) -> None:
    worker, asks = home.agent("worker"), "git push --delete origin topic"
    allow(home, check(home, worker, asks)["decision_id"], seconds=600)
    assert check(home, worker, asks)["verdict"] == "warn"
    stricter = "tighten:\n  - {rule: git.push.delete, set: block}\n"
    assert check(home, worker, asks, tighten=stricter)["verdict"] == "block"


def test_hooks_and_checks_share_a_grant_for_the_same_command(home: World) -> None:
    worker = home.agent("worker")
    allow(home, check(home, worker)["decision_id"], seconds=600)
    told = home.done(worker, "check_tool", {"action": "shell", "command": BLOCKS, "cwd": "/srv/app", "tool": "Bash"})
    assert told["verdict"] == "warn"


def test_every_decision_with_a_grant_replays(home: World) -> None:
    worker = home.agent("worker")
    allow(home, check(home, worker)["decision_id"])
    assert [check(home, worker)["verdict"] for _ in range(2)] == ["warn", "block"]
    with home.store.reading() as connection:
        replayed = replay(connection, home.workspace_id, versions.BundleCache())
    assert (replayed.differences, replayed.entries) == ([], home.count())


def test_why_tells_the_whole_trace(home: World) -> None:
    worker = home.agent("worker")
    refused = check(home, worker, f"sudo {BLOCKS}")
    grant = allow(home, refused["decision_id"])
    told = home.done(home.person("ann", "auditor"), "explain_decision", {"decision_id": refused["decision_id"]})
    assert told["entry"]["id"] == refused["decision_id"]
    assert told["payload"]["operation_text"] == f"sudo {BLOCKS}"
    found = next(item for item in told["findings"] if item["rule_id"] == "git.push.force")
    assert (found["matched_text"], bool(found["reason"]), "grant" in found["allowed_by"]) == (
        f"sudo {BLOCKS}",
        True,
        True,
    )
    assert [(item["grant_id"], item["state"]) for item in told["grants"]] == [(grant["grant_id"], "live")]
    asked = check(home, worker, "git push --delete origin topic")
    told = home.done(home.operator, "explain_decision", {"decision_id": asked["decision_id"]})
    assert [(item["approval_id"], item["state"]) for item in told["approvals"]] == [(asked["approval_id"], "pending")]
    assert home.call(home.operator, "explain_decision", {"decision_id": "dec_0nobody"}).code == "not_found"


def test_a_wrong_verdict_is_kept_as_a_row_that_score_reads_until_it_is_erased(home: World) -> None:
    worker, secret = home.agent("worker"), "gdh_agent_00000000000000000000000001_" + "A" * 43
    refused = check(home, worker, f"{BLOCKS} # {secret}")
    body = {"decision_id": refused["decision_id"], "reason": "a branch of one's own"}
    assert home.call(home.operator, "mark_wrong", {**body, "expected": "block"}).code == "nothing_to_score"
    home.done(home.operator, "mark_wrong", {**body, "expected": "warn"})
    home.done(home.operator, "mark_wrong", {**body, "expected": "allow"})
    rows = home.done(home.operator, "list_wrong", {})["rows"]
    text = "\n".join(json.dumps(row) for row in rows)
    assert secret not in text
    (row,) = read_rows(text.encode(), "wrong.jsonl")
    assert (row.expected, row.category, row.source, row.kind, row.cwd) == ("allow", "git", "wrong", "shell", "/srv/app")
    assert home.done(home.operator, "explain_decision", {"decision_id": refused["decision_id"]})["wrong"] == "allow"
    home.done(
        home.person("sam", "security"),
        "erase_payload",
        {"decision_ids": [refused["decision_id"]], "reason": "personal"},
    )
    assert home.done(home.operator, "list_wrong", {})["rows"] == []
    assert home.call(home.operator, "mark_wrong", {**body, "expected": "warn"}).code == "payload_erased"


def _law(home: World, overrides: str) -> None:
    """Put the shipped law with these overrides in force."""
    files = {path: content.decode() for path, content in shipped_bundle().files.items()}
    files["guardrails/overrides.yaml"] = overrides
    home.done(home.person(f"sec{len(home.entries())}", "security"), "activate_policy", {"files": files})


TIGHTER = "overrides:\n  - {rule: git.push.delete, set: block, reason: tried, owner: platform}\n"


def test_a_grant_is_stale_once_the_law_changed_between_the_ask_and_the_call(home: World) -> None:
    worker = home.agent("worker")
    refused = check(home, worker)
    lasting = allow(home, refused["decision_id"], seconds=600)
    once = allow(home, refused["decision_id"])
    assert check(home, worker)["verdict"] == "warn"
    _law(home, TIGHTER)
    assert check(home, worker)["verdict"] == "block"
    states = {
        item["grant_id"]: item["state"] for item in home.done(home.operator, "list_grants", {"over": True})["grants"]
    }
    assert states == {lasting["grant_id"]: "stale", once["grant_id"]: "stale"}
    # Under the law that is in force now it can be given anew, by the same decision or another.
    allow(home, check(home, worker)["decision_id"])
    assert check(home, worker)["verdict"] == "warn"


OTHERS = (
    "git push --force main origin",
    "git --no-pager push --force origin main",
    "git push --force origin main main2",
    "git push --force origin main & git push --force origin main",
    "git push --force origin main\ngit push --force origin main",
    "(git push --force origin main)",
    "bash -c 'git push --force origin main'",
    "GIT_SSH_COMMAND='sh -c id' git push --force origin main",
    "git push --force origin main > /etc/hosts",
    "git push --force origin Main",
    "git push --force 'origin main'",
)


def test_a_grant_opens_no_other_command_of_the_same_rule(home: World) -> None:
    worker = home.agent("worker")
    allow(home, check(home, worker)["decision_id"], seconds=3600)
    verdicts = {text: check(home, worker, text)["verdict"] for text in OTHERS}
    assert [text for text, verdict in verdicts.items() if verdict not in ("block", "approval_required")] == []
    assert check(home, worker)["verdict"] == "warn"


def test_a_grant_for_one_who_hands_on_serves_nobody_behind_it_and_the_other_way_round(home: World) -> None:
    lead = home.agent("lead")
    helper = home.agent("helper", delegated_by=lead.id)
    allow(home, check(home, lead)["decision_id"], seconds=3600)
    assert [check(home, who)["verdict"] for who in (helper, lead)] == ["block", "warn"]
    allow(home, check(home, helper, "git push --force origin release")["decision_id"], seconds=3600)
    assert check(home, lead, "git push --force origin release")["verdict"] == "block"
    assert check(home, helper, "git push --force origin release")["verdict"] == "warn"


def test_the_override_that_allow_prints_works_as_pasted(home: World) -> None:
    worker, other = home.agent("worker"), home.agent("other")
    refused = check(home, worker)
    assert refused["verdict"] == "block"
    expires = datetime.datetime.fromtimestamp(home.clock() / 1_000_000 + 86_400, datetime.UTC).date().isoformat()
    _law(home, proposal(["git.push.force"], worker.id, "release night", expires))
    assert [check(home, worker, text)["verdict"] for text in (BLOCKS, "git push -f origin release")] == ["warn", "warn"]
    assert check(home, other)["verdict"] == "block"
    home.later(3 * 86_400)
    assert check(home, worker)["verdict"] == "block"
