"""Rows of the reference that are shown through the whole gateway: guardrails, profiles, audit, policy, verification.

The first words of a test's name are the rows that it shows; `docs/coverage.md` is made from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from guardhouse.gates import policy
from guardhouse.ledger.tables import ENTRY, HEAD, PAYLOAD
from guardhouse.model.decision import Effect
from guardhouse.operations import CATALOG
from guardhouse.services import verification
from guardhouse.services.memory import MEMORY
from guardhouse.services.queue.tables import TASK
from guardhouse.storage.opening import open_store
from tests.conftest import CountingIds, FakeClock
from tests.judging import SHIPPED, agent, call, facts, law, person
from tests.world import Member, World, second_process, shipped_bundle, world

DESTROYING = "rm -rf / --no-preserve-root"
PROTECTED = "killall guardhouse"
SECRET = "ghp_" + "a1B2" * 9


def test_c02_the_most_urgent_ready_task_goes_to_exactly_one_of_many(home: World) -> None:
    """Priorities, dependencies and atomic claims together, with two processes."""
    lead, workers = home.agent("lead"), [home.agent(f"worker-{number}") for number in range(6)]
    low, high = (home.done(lead, "submit_work", {"title": "x", "priority": rank})["task_id"] for rank in (3, 1))
    top = home.done(lead, "submit_work", {"title": "x", "priority": 0, "needs": [low]})["task_id"]
    with second_process(home) as there, ThreadPoolExecutor(6) as pool:

        def take(number: int) -> dict[str, Any] | None:
            task: dict[str, Any] | None = (home, there)[number % 2].done(workers[number], "get_work")["task"]
            return task

        won = {number: task for number, task in enumerate(pool.map(take, range(6))) if task}
        assert sorted(task["task_id"] for task in won.values()) == sorted([low, high]), "the most urgent one waits"
        ranks = [task["priority"] for task in sorted(won.values(), key=lambda task: str(task["claimed_at"]))]
        assert sorted(ranks) == [1, 3]
        number, task = next((number, task) for number, task in won.items() if task["task_id"] == low)
        home.done(workers[number], "complete_work", {"task_id": low, "fence": task["fence"], "summary": "done"})
        second = [task["task_id"] for task in pool.map(take, range(6)) if task]
        assert second == [top], "what waited is ready at once, and goes to one"


def test_c04_agents_are_found_by_what_they_can_do_and_by_their_status(home: World) -> None:
    able = {"anna": ["python", "review"], "bert": ["python"], "cleo": ["python", "review"], "dora": []}
    agents = {name: home.agent(name) for name in able}
    for name, capabilities in able.items():
        home.done(agents[name], "register_session", {"capabilities": capabilities})

    def found(**asked: Any) -> set[str]:
        ids = {one["agent_id"] for one in home.done(agents["bert"], "discover_agents", asked)["sessions"]}
        return {name for name, member in agents.items() if member.id in ids}

    assert found() == set(able)
    assert found(capabilities=["python", "review"]) == {"anna", "cleo"}
    home.later(600)
    home.done(agents["anna"], "heartbeat")
    home.done(agents["bert"], "heartbeat")
    home.later(400)
    assert (found(), found(status="silent")) == ({"anna", "bert"}, {"cleo", "dora"})
    assert found(status="any") == set(able)
    assert found(capabilities=["review"]) == {"anna"}
    assert found(capabilities=["review"], status="silent") == {"cleo"}
    assert found(capabilities=["review"], status="gone") == set()
    home.done(agents["cleo"], "heartbeat")
    assert found(capabilities=["review"]) == {"anna", "cleo"}


def test_c42_a_heartbeat_tells_a_worker_what_it_still_holds(home: World) -> None:
    worker = home.agent("worker")
    tasks = [home.done(worker, "submit_work", {"title": "x", "lease_seconds": 3600})["task_id"] for _ in range(2)]
    fences = {task: home.done(worker, "claim_task", {"task_id": task})["fence"] for task in tasks}
    told = home.done(worker, "heartbeat", {"activity": "working"})["tasks"]
    assert {item["task_id"]: item["fence"] for item in told} == fences
    assert all(item["lease_until"] for item in told)
    home.done(worker, "release_task", {"task_id": tasks[0], "fence": fences[tasks[0]]})
    assert [item["task_id"] for item in home.done(worker, "heartbeat")["tasks"]] == [tasks[1]]
    home.later(3601)
    assert home.done(worker, "heartbeat")["tasks"] == [], "a lapsed claim is held no more"


def test_c07_c45_destructive_operations_are_detected_and_blocked(home: World) -> None:
    worker = home.agent("worker")
    assert home.done(worker, "check_guardrails", {"operation_text": "ls -l"})["safe"] is True
    for padding, verdict in (("", "block"), ("echo ok\n" * 200, "block"), ("echo ok\n" * 4_000, "ask")):
        told = home.done(worker, "check_guardrails", {"operation_text": padding + DESTROYING})
        assert (told["safe"], told["verdict"]) == (False, verdict), "what is too long to be known is asked about"
        assert told["violations"][0]["reason"]
        assert told["violations"][0]["rule_id"]


def test_c08_c46_trust_restricts_operations_and_a_profile_limits_resources(home: World) -> None:
    permitted = {}
    for trust in range(1, 5):
        told = home.done(home.agent(f"trust-{trust}", trust=trust), "get_my_profile")
        assert (told["trust"], told["effective_trust"]) == (trust, trust)
        permitted[trust] = set(told["permitted"])
    assert permitted[1] < permitted[2] < permitted[3]
    assert "get_work" in permitted[2] - permitted[1]
    assert "revoke_locks" in permitted[3] - permitted[2]
    assert home.call(home.agent("nobody", trust=0), "get_my_profile").code == "suspended"
    reader = home.agent("reader", trust=4, profile="reviewer")
    assert home.call(reader, "submit_work", {"title": "x"}).code == "operation_not_in_profile"
    few = home.agent("few", profile="default")
    limits = {item["name"]: item["limit"] for item in home.done(few, "get_my_profile")["limits"]}
    for number in range(limits["held_locks"]):
        home.done(few, "acquire_lock", {"key": f"res:n/{number}"})
    assert home.call(few, "acquire_lock", {"key": "res:n/one-more"}).code == "limit_reached"


def test_c09_c47_every_call_leaves_one_entry_that_nobody_changes(home: World) -> None:
    worker, low = home.agent("worker"), home.agent("low", trust=1)
    before = home.count()
    calls: list[tuple[Member, str, Any]] = [
        (worker, "submit_work", {"title": "x"}),
        (worker, "get_work", {}),
        (worker, "get_work", {}),
        (worker, "complete_work", {"task_id": "tsk_1", "summary": "x"}),
        (worker, "complete_work", {"task_id": 3}),
        (worker, "no_such_operation", {}),
        (worker, "heartbeat", b"{"),
        (low, "remember", {"event_type": "error", "summary": "x"}),
        (worker, "query_audit", {"limit": 5}),
    ]
    decided = [home.call(who, operation, body).decision_id for who, operation, body in calls]
    assert home.count() - before == len(calls)
    assert [entry["id"] for entry in home.entries()[before:]] == decided
    found = home.done(worker, "query_audit", {"limit": 50})["entries"]
    assert set(decided) - {entry["id"] for entry in found} <= {home.entry(decided[7])["id"]}
    ours = (ENTRY.c.workspace_id == home.workspace_id, ENTRY.c.sequence == before)
    for change in (update(ENTRY).where(*ours).values(outcome="performed"), delete(ENTRY).where(*ours)):
        with pytest.raises(DBAPIError), home.store.writing(home.workspace_id) as tx:
            tx.execute(change)
    if home.store.dialect == "postgresql":
        with pytest.raises(DBAPIError), home.store.writing(home.workspace_id) as tx:
            tx.execute(text("TRUNCATE entry"))
    auditor = home.person("ada", "auditor")
    assert home.done(auditor, "verify_audit")["ok"] is True


def test_c10_outbound_domains_are_allowed_by_lists_only(home: World) -> None:
    worker = home.agent("worker", trust=4)
    for destination, effect in (
        ("https://api.github.com/repos", "allow"),
        ("https://github.com.example.net/", "deny"),
        ("http://169.254.169.254/latest", "deny"),
    ):
        assert home.done(worker, "check_network", {"destination": destination})["effect"] == effect


@pytest.mark.parametrize("engine", [b"engine: cedar\n", b"engine: native\n"])
def test_c11_either_engine_decides_the_same_on_the_work_operations(engine: bytes) -> None:
    both = law((("gateway.yaml", b"engine: both\n"),))
    one = law((("gateway.yaml", engine),))
    people = [person(role) for role in ("operator", "security", "auditor")]
    seen = set()
    for who in [*(agent(trust) for trust in range(5)), *people]:
        for declared in CATALOG:
            if declared.people_only:
                continue
            steps = [
                policy.check(call(declared.name), facts(who, bundle), bundle.rules[policy.NAME], ())
                for bundle in (one, both)
            ]
            assert steps[0].effect is steps[1].effect, (declared.name, who)
            assert not steps[1].warn, "the engines diverge"
            seen.add(steps[0].effect)
    assert seen == {Effect.ALLOW, Effect.DENY}
    assert SHIPPED["gateway.yaml"]


def _a_day(store: Any, clock: FakeClock) -> list[Any]:
    """What a fixed day of work answers, on whatever database."""
    told: list[Any] = []
    with world(store, clock, CountingIds()) as home:
        anna, bert = home.agent("anna"), home.agent("bert", trust=3)
        first = home.done(bert, "submit_work", {"title": "first", "priority": 1})
        second = home.done(bert, "submit_work", {"title": "second", "needs": [first["task_id"]]})
        for who, operation, body in (
            (anna, "get_work", {}),
            (bert, "claim_task", {"task_id": second["task_id"]}),
            (anna, "complete_work", {"task_id": first["task_id"], "summary": "done"}),
            (bert, "list_work", {"view": "ready"}),
            (anna, "acquire_lock", {"key": "db:users"}),
            (bert, "acquire_lock", {"key": "db:users"}),
            (anna, "write_handoff", {"summary": "half way", "next_steps": ["go on"]}),
            (bert, "read_handoff", {}),
            (anna, "remember", {"event_type": "lesson", "summary": "zebras cross slowly", "tags": ["ui"]}),
            (bert, "recall", {"query": "zebra"}),
            (bert, "discover_agents", {}),
            (anna, "get_playbook", {}),
        ):
            outcome = home.call(who, operation, body)
            told.append((operation, outcome.code, outcome.result, outcome.error))
    return told


def test_c23_c29_the_same_day_is_answered_alike_by_both_databases(new_database: Callable[[str], str]) -> None:
    days = []
    for dialect in ("sqlite", "postgresql"):
        clock = FakeClock()
        store = open_store(new_database(dialect), clock)
        assert store.dialect == dialect
        days.append(_a_day(store, clock))
        store.close()
    assert days[0] == days[1]
    assert {code for _operation, code, _result, _error in days[0]} == {"performed", "held", "not_ready"}


def test_c25_every_table_of_the_reference_has_its_counterpart(home: World) -> None:
    """Each is written by the operation that the reference gives it: what was done is in that table and no other."""
    worker, other = home.agent("worker"), home.agent("other")
    task = home.done(other, "submit_work", {"title": "x"})["task_id"]
    names = ("lock", "task", "presence", "memory", "handoff", "verification", "bundle_version")

    def sizes() -> dict[str, int]:
        with home.store.reading() as connection:
            return {
                name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in names
            }  # names of this test's own

    law = {path: content.decode() for path, content in shipped_bundle().files.items()}
    for counterpart, who, operation, body in (
        ("lock", worker, "acquire_lock", {"key": "src/a.py"}),  # file_locks
        ("task", worker, "submit_work", {"title": "y"}),  # work_queue
        ("presence", home.agent("fresh"), "register_session", {}),  # agent_sessions
        ("memory", worker, "remember", {"event_type": "lesson", "summary": "x"}),  # episodic_memories
        ("handoff", worker, "write_handoff", {"summary": "x"}),
        ("verification", worker, "record_verification", {"task_id": task, "gate": "testing", "passed": True}),
        (
            "bundle_version",
            home.operator,
            "activate_policy",
            {"files": law | {"gateway.yaml": law["gateway.yaml"] + "\n# another\n"}},
        ),
    ):
        before, entries = sizes(), home.count()
        home.done(who, operation, body)
        grown = {name for name, size in sizes().items() if size > before[name]}
        assert grown - {"presence"} == {counterpart} - {"presence"}, operation
        assert counterpart in grown, operation
        assert home.count() == entries + 1, "audit_log"
    # Guardrails, profiles, domain lists and policies are parts of the bundle, which is kept by its digest.
    kept = set(home.done(home.operator, "show_policy")["files"])
    assert {name.split("/")[0] for name in kept} >= {"guardrails", "profiles.yaml", "network", "cedar", "native"}


def test_c27_results_of_the_five_gates_are_kept_and_nobody_verifies_their_own_work(home: World) -> None:
    author, verifier = home.agent("author"), home.agent("verifier")
    task = home.done(author, "submit_work", {"title": "x"})["task_id"]
    fence = home.done(author, "claim_task", {"task_id": task})["fence"]
    gate = {"task_id": task, "gate": "testing", "passed": True}
    assert home.call(author, "record_verification", gate).code == "self_verification"
    home.done(author, "complete_work", {"task_id": task, "fence": fence, "summary": "done"})
    assert home.call(author, "record_verification", gate).code == "self_verification"
    assert home.call(verifier, "record_verification", gate | {"evidence": PROTECTED}).code == "guardrail_blocked"
    assert home.call(verifier, "record_verification", gate | {"gate": "vibes"}).code == "validation"
    for number, name in enumerate(verification.GATES):
        told = home.done(verifier, "record_verification", gate | {"gate": name, "evidence": f"report {number}"})
        assert told["verified"] is (number == len(verification.GATES) - 1)
    again = home.done(verifier, "record_verification", gate | {"passed": False, "evidence": "it broke since"})
    assert again["verified"] is False
    told = home.done(author, "get_verification", {"task_id": task})
    assert [(item["gate"], item["state"]) for item in told["gates"]][:2] == [
        ("testing", "failed"),
        ("regression", "passed"),
    ]
    assert {item["by_id"] for item in told["gates"]} == {verifier.id}


def test_c28_orchestration_of_models_is_out_of_scope_and_no_operation_promises_it() -> None:
    assert not [declared.name for declared in CATALOG if "strand" in declared.name or "orchestrat" in declared.name]


def test_c36_a_blocked_completion_leaves_the_claim_and_padding_hides_nothing(home: World) -> None:
    worker = home.agent("worker")
    task = home.done(worker, "submit_work", {"title": "x"})["task_id"]
    fence = home.done(worker, "claim_task", {"task_id": task})["fence"]
    ending = {"task_id": task, "fence": fence, "summary": "done"}
    for before, after in ((0, 0), (4_000, 0), (0, 4_000), (90_000, 0), (0, 90_000), (45_000, 45_000)):
        hidden = "a harmless line\n" * (before // 16) + PROTECTED + "\n" + "a harmless line\n" * (after // 16)
        outcome = home.call(worker, "complete_work", ending | {"result": hidden})
        assert outcome.code == "guardrail_blocked", (before, after)
        assert home.entry(outcome.decision_id)["facts"]["findings"][0]["field"] == "result"
        told = home.done(worker, "get_task", {"task_id": task})
        assert (told["status"], told["holder_agent_id"], told["fence"]) == ("doing", worker.id, fence)
    for operation, body in (
        ("submit_work", {"title": "x", "detail": "word " * 1_000 + "\n" + PROTECTED}),
        ("release_task", {"task_id": task, "fence": fence, "blocked_reason": SECRET}),
        ("remember", {"event_type": "lesson", "summary": "x", "details": "word " * 3_900 + SECRET}),
        ("write_handoff", {"summary": "x", "next_steps": ["word " * 500] * 9 + [SECRET]}),
    ):
        outcome = home.call(worker, operation, body)
        assert outcome.code == "guardrail_blocked", operation
        assert SECRET not in str(outcome.error)
    assert home.done(worker, "get_task", {"task_id": task})["status"] == "doing"
    told = "It's done:\n\n- moved it (see above)\n\n```sh\n$ pytest -q\n12 passed\n```\n"
    assert home.done(worker, "complete_work", ending | {"result": told})["status"] == "done"


def test_c43_what_was_erased_is_in_no_table(home: World) -> None:
    worker, security = home.agent("worker"), home.person("sam", "security")
    secret = "the quick brown platypus"
    task = home.done(worker, "submit_work", {"title": "x", "detail": secret})["task_id"]
    kept = home.done(worker, "remember", {"event_type": "lesson", "summary": secret})
    home.done(worker, "write_handoff", {"summary": secret})
    told = home.done(worker, "forget", {"memory_id": kept["memory_id"]})
    assert home.done(worker, "recall", {"query": "quick"})["memories"] == []
    named = [
        entry["id"]
        for entry in home.entries()
        if entry["operation"] in ("submit_work", "remember", "write_handoff") and entry["outcome"] == "performed"
    ]
    assert told["decision_ids"] == [named[1]]
    home.done(security, "erase_payload", {"decision_ids": named, "reason": "asked for by its author"})
    with home.store.reading() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):  # names from the database itself
                assert "platypus" not in str([bytes(v) if isinstance(v, memoryview) else v for v in row]), table
        assert connection.execute(select(TASK.c.id)).scalar_one() == task
        assert connection.execute(select(MEMORY.c.id)).scalar_one() == kept["memory_id"]
        gone = select(PAYLOAD.c.sequence).where(PAYLOAD.c.workspace_id == home.workspace_id)
        assert connection.execute(gone).first() is not None
    assert home.done(security, "verify_audit")["ok"] is True


@pytest.mark.parametrize("engine", ["cedar", "native"])
def test_c48_either_answer_of_policy_is_foretold_with_its_reason(home: World, engine: str) -> None:
    low = home.agent("low", trust=1)
    if engine == "native":
        law = {path: content.decode() for path, content in shipped_bundle().files.items()}
        home.done(home.operator, "activate_policy", {"files": law | {"gateway.yaml": f"engine: {engine}\n"}})
    asked = {"operation": "get_work", "resource_type": "Task", "resource_id": "next"}
    told = home.done(low, "check_policy", asked)
    assert (told["effect"], told["code"]) == ("deny", "policy_not_permitted")
    assert home.done(home.agent("worker"), "check_policy", asked)["effect"] == "allow"
    assert home.call(low, "get_work").code == told["code"], "what is foretold is what happens"
    assert home.call(home.agent("other"), "get_work").performed
    playbook, profile = home.done(low, "get_playbook"), home.done(low, "get_my_profile")
    assert playbook["version"] == profile["bundle"] == told["bundle"]


def test_c49_a_policys_syntax_is_told_by_line(home: World) -> None:
    worker = home.agent("worker")
    good = '@id("site.x") @why("x")\npermit (principal, action == Action::"get_work", resource);'
    assert home.done(worker, "validate_cedar_policy", {"policy_text": good})["valid"] is True
    for broken, line in (
        ("permit (principal,\naction", 2),
        ("permit (principal,\naction,\n\n", 2),
        (f'{good}\n\n// next\n@id("b")\npermit (\n  principal,\n  action action,\n  resource);', 8),
        (f'{good}\n@id("b") permit (principal, action, resource)\nwhen {{\n  1 ==\n}};', 6),
        (f'{good}\n@id("b") permit (principal, action, resource)\nwhen {{ principal\n# 1 }};', 5),
        (f"{good}\n\nfrobnicate (\nprincipal, action, resource);", 4),
    ):
        told = home.done(worker, "validate_cedar_policy", {"policy_text": broken})
        assert told["valid"] is False
        assert [problem["line"] for problem in told["problems"]] == [line], (broken, told["problems"])


def _tables(home: World) -> dict[str, list[str]]:
    """Every row of every table but those in which a call itself is kept and counted."""
    kept = {"entry", "payload", "content", "workspace_head", "quota", "alembic_version", HEAD.name}
    found: dict[str, list[str]] = {}
    with home.store.reading() as connection:
        for table in inspect(connection).get_table_names():
            if table in kept or table.startswith(("entry_", "payload_", "memory_text_")):
                continue
            rows = connection.execute(text(f'SELECT * FROM "{table}"')).all()  # names from the database itself
            found[table] = sorted(repr([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in rows)
    return found


def _governing(home: World, other: Member) -> dict[str, dict[str, Any]]:
    """A body for every governing operation that would change something, were its caller an operator."""
    asked = home.call(other, "check_guardrails", {"operation_text": "npm publish"})
    approval_id = (asked.result or {})["approval_id"]
    blocked = home.call(other, "check_guardrails", {"operation_text": DESTROYING}).decision_id
    granted = home.done(home.operator, "allow_decision", {"decision_id": asked.decision_id, "reason": "x"})
    files = {path: content.decode() for path, content in shipped_bundle().files.items()}
    whom = {"agent_id": other.id, "reason": "x"}
    asleep = home.agent("asleep", role="sleeper")
    home.done(home.operator, "suspend_agent", {"agent_id": asleep.id, "reason": "x"})
    resting = home.agent("resting")
    home.done(home.operator, "pause_agent", {"agent_id": resting.id, "reason": "x", "seconds": 600})
    home.done(home.operator, "set_mode", {"scope": "role", "id": "sleeper", "seconds": 600})
    token_id = "tok_" + other.token.split("_")[2]
    return {
        "add_agent": {"handle": "mine", "trust": 4},
        "set_trust": {"agent_id": other.id, "trust": 4},
        "retire_agent": whom,
        "add_person": {"name": "mine", "roles": ["operator", "security"]},
        "disable_person": {"person_id": home.person("spare", "auditor").id, "reason": "x"},
        "issue_token": {"principal_id": other.id},
        "rotate_token": {"token_id": token_id},
        "revoke_token": {"token_id": token_id, "reason": "x"},
        "pause_agent": whom | {"seconds": 60},
        "resume_agent": {"agent_id": resting.id, "reason": "x"},
        "suspend_agent": whom,
        "reinstate_agent": {"agent_id": asleep.id, "reason": "x"},
        "stop_agent": whom,
        "pause_workspace": {"seconds": 60, "reason": "x"},
        "stop_workspace": {"reason": "x"},
        "set_mode": {"scope": "workspace", "seconds": 60},
        "end_mode": {"scope": "role", "id": "sleeper"},
        "grant_approval": {"approval_id": approval_id},
        "refuse_approval": {"approval_id": approval_id, "reason": "x"},
        "allow_decision": {"decision_id": blocked, "reason": "x"},
        "revoke_grant": {"grant_id": granted["grant_id"]},
        "mark_wrong": {"decision_id": blocked, "expected": "allow", "reason": "x"},
        "create_workspace": {"slug": "mine", "person_name": "me"},
        "set_workspace": {"single_person": True},
        "register_repository": {"name": "github.com/example/mine"},
        "activate_policy": {"files": files | {"gateway.yaml": files["gateway.yaml"] + "\n# mine\n"}},
        "erase_payload": {"decision_ids": [blocked], "reason": "x"},
    }


@pytest.mark.parametrize("standing", ["suspended", "trust 0", "trust 1"])
def test_c08_a_suspended_or_low_trust_agent_changes_nothing_in_any_table(home: World, standing: str) -> None:
    other = home.agent("other")
    task = home.done(other, "submit_work", {"title": "x"})["task_id"]
    held = home.done(other, "submit_work", {"title": "y"})["task_id"]
    fence = home.done(other, "claim_task", {"task_id": held})["fence"]
    memory = home.done(other, "remember", {"event_type": "lesson", "summary": "x"})["memory_id"]
    home.done(other, "acquire_lock", {"key": "res:a"})
    low = home.agent("low", trust={"suspended": 2, "trust 0": 0, "trust 1": 1}[standing])
    if standing == "suspended":
        home.done(home.operator, "suspend_agent", {"agent_id": low.id, "reason": "test"})
    bodies: dict[str, dict[str, Any]] = {
        "acquire_lock": {"key": "res:b"},
        "renew_lock": {"key": "res:a"},
        "release_lock": {"key": "res:a"},
        "submit_work": {"title": "z"},
        "claim_task": {"task_id": task},
        "renew_lease": {"task_id": held, "fence": fence},
        "release_task": {"task_id": held, "fence": fence},
        "complete_work": {"task_id": held, "fence": fence, "summary": "x"},
        "cancel_work": {"task_id": held},
        "reopen_task": {"task_id": held},
        "add_dependency": {"task_id": task, "needs_task_id": held},
        "remove_dependency": {"task_id": task, "needs_task_id": held},
        "record_verification": {"task_id": held, "gate": "testing", "passed": True},
        "write_handoff": {"summary": "x"},
        "remember": {"event_type": "lesson", "summary": "z"},
        "forget": {"memory_id": memory},
        "free_silent_agent": {"agent_id": other.id},
        "revoke_locks": {"prefix": "res:", "reason": "x"},
    } | _governing(home, other)
    before, entries, asked = _tables(home), home.count(), 0
    for declared in CATALOG:
        if declared.category == "read":
            continue
        body = bodies.get(declared.name, {})
        declared.ask.model_validate_json(json.dumps(body))
        outcome = home.call(low, declared.name, body, idempotency_key=f"key-{asked}")
        assert outcome.decision is not None
        assert outcome.decision.effect is Effect.DENY, (declared.name, outcome.code)
        asked += 1
    assert asked >= len(bodies) + 4, "every operation that writes, with a body that it would take"
    assert home.count() - entries == asked
    assert _tables(home) == before
