"""Every way in which the work itself says no, over MCP: a result with `isError`, the documented code, and words that help."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp import Client

from guardhouse.operations import CATALOG
from guardhouse.surfaces.cli.docs import refusals
from guardhouse.surfaces.mcp import sets
from tests.surfaces.mcp.clients import code_of, run, text_of
from tests.surfaces.mcp.conftest import Place
from tests.test_docs import DOCS
from tests.world import Member

_BLOCKED = "killall guardhouse"
_SECRET = "ghp_" + "a1B2" * 9


@dataclass
class Scene:
    """What the cases are about: who is there, and the tasks, locks and memories that they made."""

    place: Place
    who: dict[str, Member] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.ids[name]

    def done(self, name: str, operation: str, **body: Any) -> dict[str, Any]:
        return self.place.world.done(self.who[name], operation, body)

    def submit(self, name: str, by: str = "ann", **more: Any) -> str:
        self.ids[name] = self.done(by, "submit_work", title=name, **more)["task_id"]
        return str(self.ids[name])

    def claim(self, name: str, by: str = "ann", **more: Any) -> None:
        fence = self.done(by, "claim_task", task_id=self.ids[name], **more)["fence"]
        self.ids.setdefault(f"{name} fence", fence)


def scene(place: Place) -> Scene:
    made = Scene(place)
    trusts = {"ann": 2, "bob": 2, "lead": 3, "looker": 1}
    made.who = {name: place.world.agent(name, trust=trust) for name, trust in trusts.items()}
    made.ids |= {name: member.id for name, member in made.who.items()}
    made.done("bob", "acquire_lock", key="res:bobs", reason="migrating")
    made.ids["lock fence"] = made.done("ann", "acquire_lock", key="res:anns")["fence"]
    made.done("ann", "acquire_lock", key="res:short", ttl_seconds=5)
    made.done("lead", "acquire_lock", key="feature:slow:pause")
    made.submit("first")
    made.submit("second", needs=[made["first"]])
    made.claim("first")
    made.submit("ended")
    made.claim("ended")
    made.done("ann", "complete_work", task_id=made["ended"], fence=made["ended fence"], summary="done")
    made.submit("parent")
    made.submit("child", parent_task_id=made["parent"])
    made.claim("parent")
    made.submit("epic", type="epic")
    made.submit("outside", needs=[made["epic"]])
    made.submit("bobs lane", assignee_agent_id=made["bob"])
    made.submit("paused", feature="slow")
    made.submit("half done", feature="fast")
    made.claim("half done")
    made.done("lead", "acquire_lock", key="feature:fast:pause", reason="review first")
    made.submit("leads", by="lead")
    made.submit("lapsed")
    made.claim("lapsed", lease_seconds=10)
    made.submit("lost")
    made.claim("lost", lease_seconds=10)
    kept = made.done("bob", "remember", event_type="lesson", summary="readers matter")
    made.ids["memory"] = kept["memory_id"]
    place.world.later(11)
    made.claim("lost", by="bob")
    return made


Told = Callable[[Scene], tuple[str, ...]]


def _nothing(_scene: Scene) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Case:
    """One call that is refused: by whom it is made, with which code it is answered, and what its text names."""

    who: str
    tool: str
    body: Callable[[Scene], Mapping[str, Any]]
    code: str
    told: Told = _nothing


_NONE = "tsk_none"
CASES = (
    # locks
    Case(
        "ann",
        "acquire_lock",
        lambda s: {"key": "res:bobs"},
        "held",
        lambda s: ("`bob`", s["bob"], "after 60 seconds", "something else meanwhile"),
    ),
    Case("ann", "release_lock", lambda s: {"key": "res:bobs"}, "not_holder", lambda s: ("`bob`", "fence is 1")),
    Case("ann", "renew_lock", lambda s: {"key": "res:bobs"}, "not_holder", lambda s: ("`bob`",)),
    Case("ann", "renew_lock", lambda s: {"key": "res:short"}, "lease_expired", lambda s: ("ran out",)),
    Case(
        "ann",
        "release_lock",
        lambda s: {"key": "res:anns", "fence": s["lock fence"] + 1},
        "stale_fence",
        lambda s: (f"The current fence is {s['lock fence']}", "stop at once"),
    ),
    # submitting
    Case("ann", "submit_work", lambda s: {"title": "x", "needs": [_NONE]}, "not_found", lambda s: (_NONE,)),
    Case("ann", "submit_work", lambda s: {"title": "x", "parent_task_id": _NONE}, "not_found", lambda s: (_NONE,)),
    Case("ann", "submit_work", lambda s: {"title": "x", "parent_task_id": s["ended"]}, "already_ended"),
    Case("ann", "submit_work", lambda s: {"title": "x", "deadline": "2020-01-01T00:00:00Z"}, "deadline_passed"),
    Case(
        "ann",
        "submit_work",
        lambda s: {"title": "x", "parent_task_id": s["epic"], "needs": [s["outside"]]},
        "cycle",
        lambda s: (f"`{s['outside']}` waits for `{s['epic']}`", "closes the circle"),
    ),
    Case("ann", "submit_work", lambda s: {"title": "x", "detail": _BLOCKED}, "guardrail_blocked"),
    # claiming
    Case(
        "bob",
        "claim_task",
        lambda s: {"task_id": s["first"]},
        "already_claimed",
        lambda s: ("`ann`", s["ann"], "`get_work`"),
    ),
    Case(
        "bob",
        "claim_task",
        lambda s: {"task_id": s["second"]},
        "not_ready",
        lambda s: (f"waits for `{s['first']}` (doing)", "`get_task`"),
    ),
    Case(
        "ann",
        "claim_task",
        lambda s: {"task_id": s["bobs lane"]},
        "assigned_to_other",
        lambda s: ("the lane is that of `bob`",),
    ),
    Case("bob", "claim_task", lambda s: {"task_id": s["ended"]}, "already_ended", lambda s: ("is done",)),
    Case("bob", "claim_task", lambda s: {"task_id": s["paused"]}, "held", lambda s: ("`lead`", "paused")),
    Case("bob", "claim_task", lambda s: {"task_id": _NONE}, "not_found"),
    # ending
    Case(
        "bob",
        "complete_work",
        lambda s: {"task_id": s["first"], "summary": "x"},
        "not_holder",
        lambda s: ("`ann`", "not yours"),
    ),
    Case(
        "ann",
        "complete_work",
        lambda s: {"task_id": s["first"], "fence": 99, "summary": "x"},
        "stale_fence",
        lambda s: (f"The current fence is {s['first fence']}",),
    ),
    Case("ann", "complete_work", lambda s: {"task_id": s["lapsed"], "summary": "x"}, "lease_expired"),
    Case(
        "ann",
        "complete_work",
        lambda s: {"task_id": s["lost"], "fence": s["lost fence"], "summary": "x"},
        "stale_fence",
    ),
    Case("ann", "complete_work", lambda s: {"task_id": s["lost"], "summary": "x"}, "not_holder", lambda s: ("`bob`",)),
    Case("bob", "complete_work", lambda s: {"task_id": s["ended"], "summary": "x"}, "already_ended"),
    Case(
        "ann",
        "complete_work",
        lambda s: {"task_id": s["parent"], "summary": "x"},
        "open_children",
        lambda s: (f"open are `{s['child']}`", "children"),
    ),
    Case("ann", "complete_work", lambda s: {"task_id": _NONE, "summary": "x"}, "not_found"),
    Case(
        "ann",
        "complete_work",
        lambda s: {"task_id": s["half done"], "fence": s["half done fence"], "summary": "x"},
        "held",
        lambda s: ("`lead`", s["lead"], "feature `fast` is paused", "something else meanwhile"),
    ),
    Case(
        "ann",
        "complete_work",
        lambda s: {"task_id": s["first"], "summary": "x", "result": _BLOCKED},
        "guardrail_blocked",
        lambda s: ("do not look for a way around it",),
    ),
    Case("ann", "cancel_work", lambda s: {"task_id": s["leads"]}, "not_author"),
    # reading, remembering, governing
    Case("ann", "get_task", lambda s: {"task_id": _NONE}, "not_found", lambda s: ("`list_work`",)),
    Case("ann", "read_handoff", lambda s: {"handoff_id": "hnd_none"}, "not_found"),
    Case("ann", "write_handoff", lambda s: {"summary": _BLOCKED}, "guardrail_blocked"),
    Case("ann", "remember", lambda s: {"event_type": "lesson", "summary": _SECRET}, "guardrail_blocked"),
    Case("ann", "forget", lambda s: {"memory_id": s["memory"]}, "not_author"),
    Case(
        "ann",
        "query_audit",
        lambda s: {"agent_id": s["bob"]},
        "forbidden_scope",
        lambda s: ("without the filter",),
    ),
    Case(
        "ann",
        "check_policy",
        lambda s: {"operation": "acquire_lock", "agent_id": s["bob"]},
        "people_only",
        lambda s: ("ask a person",),
    ),
    Case("ann", "check_policy", lambda s: {"operation": "no_such_thing"}, "unknown_operation"),
    Case("operator", "check_policy", lambda s: {"operation": "get_work", "agent_id": "agt_none"}, "not_found"),
    Case("ann", "set_mode", lambda s: {"scope": "workspace"}, "people_only"),
    *(
        Case("looker", tool, lambda s, body=body: body, "policy_not_permitted")  # type: ignore[misc]  # bound now
        for tool, body in (
            ("acquire_lock", {"key": "res:a"}),
            ("release_lock", {"key": "res:a"}),
            ("get_work", {}),
            ("submit_work", {"title": "x"}),
            ("complete_work", {"task_id": _NONE, "summary": "x"}),
            ("write_handoff", {"summary": "x"}),
            ("remember", {"event_type": "lesson", "summary": "x"}),
        )
    ),
)
_BESIDES = {
    "held": {"holder_agent_id", "holder_alias", "key", "expires_at", "reason", "retry_after_seconds"},
    "already_claimed": {"holder_agent_id", "holder_alias", "assignee_alias", "retry_after_seconds"},
    "not_holder": {"holder_agent_id", "holder_alias", "current_fence"},
    "lease_expired": {"current_fence"},
    "stale_fence": {"current_fence"},
    "assigned_to_other": {"assignee_id", "assignee_alias"},
    "not_ready": {"blockers"},
    "open_children": {"children"},
    "cycle": {"path"},
    "guardrail_blocked": {"rule_ids", "hits"},
}
"""What docs/http.md says that each envelope names besides its code."""
_ENDS = (
    Case("ann", "acquire_lock", lambda s: {"key": "res:b"}, "heartbeat_required", lambda s: ("call `heartbeat`",)),
    Case("ann", "get_work", lambda s: {}, "heartbeat_required", lambda s: ("call `heartbeat`",)),
    Case("ann", "claim_task", lambda s: {"task_id": s["child"]}, "heartbeat_required"),
)
"""Those after a long silence of everybody."""


async def _wrong(made: Scene, client: Client, case: Case) -> list[str]:
    """What is wrong with the answer to one case."""
    answer = await client.call_tool(case.tool, dict(case.body(made)))
    named = f"{case.who} {case.tool} {case.code}"
    if not answer.is_error or code_of(answer) != case.code:
        return [f"{named}: {text_of(answer)}"]
    told, body = text_of(answer), answer.structured_content
    assert body is not None
    entry = made.place.world.entry(body["error"]["decision_id"])
    lower = told.lower()
    wanted = [f"was not done ({case.code})", "\nwhy: ", "\nnext: ", *(part.lower() for part in case.told(made))]
    wrong = [f"{named}: `{part}` is not in {told}" for part in wanted if part not in lower]
    if (entry["operation"], entry["outcome"]) != (case.tool, case.code):
        wrong.append(f"{named}: the entry says {entry['operation']} {entry['outcome']}")
    if "the same call would get the same answer" in lower or "{" in told:
        wrong.append(f"{named}: {told}")
    declared = CATALOG.find(case.tool)
    assert declared is not None
    missing = _BESIDES.get(case.code, set()) - body["error"].keys()
    if missing:
        wrong.append(f"{named}: the envelope does not tell {sorted(missing)}")
    if entry["effect"] == "allow" and case.code not in refusals(declared):
        wrong.append(f"{named}: the documentation of {case.tool} does not list it")
    return wrong


@pytest.mark.parametrize("way", ["http", "forwarded"])
def test_every_refusal_of_the_work_is_a_result_with_its_documented_code(place: Place, way: str) -> None:
    made = scene(place)
    made.who["operator"] = place.world.operator
    before = place.world.count()
    wrong: list[str] = []

    async def work(cases: tuple[Case, ...]) -> None:
        for name in dict.fromkeys(case.who for case in cases):
            async with place.client(way, made.who[name]) as client:
                for case in cases:
                    if case.who == name:
                        wrong.extend(await _wrong(made, client, case))

    run(lambda: work(CASES))
    task = made.done("ann", "get_task", task_id=made["first"])
    assert (task["status"], task["fence"]) == ("doing", made["first fence"]), "a blocked completion leaves the claim"
    task = made.done("ann", "get_task", task_id=made["half done"])
    assert (task["status"], task["fence"]) == ("doing", made["half done fence"]), "and so does a pause"
    place.world.later(901)
    run(lambda: work(_ENDS))
    assert not wrong, "\n\n".join(wrong)
    assert place.world.count() == before + len(CASES) + 2 + len(_ENDS), "entries == calls"


def _masked(text: str) -> str:
    text = re.sub(r"\b(agt|dec)_[0-9a-z]+…?", r"\1_…", text)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "<then>", text)


def test_the_refusal_that_the_page_shows_is_a_real_one(place: Place) -> None:
    ann, bob = place.world.agent("ann"), place.world.agent("bob")
    place.world.done(ann, "acquire_lock", {"key": "res:deploy/staging"})

    async def work() -> str:
        async with place.client("http", bob) as client:
            return text_of(await client.call_tool("acquire_lock", {"key": "res:deploy/staging"}))

    shown = (DOCS / "mcp.md").read_text(encoding="utf-8").partition("## Refusals")[2]
    assert _masked(shown.partition("```text\n")[2].partition("```")[0]) == _masked(run(work)) + "\n"


def test_the_table_has_every_refusal_that_a_tool_of_the_core_set_is_documented_with() -> None:
    """What the table cannot provoke within a test's bounds is named here, with where it is shown instead."""
    elsewhere = {
        ("complete_work", "too_many_children"): "tests/services/test_queue.py, with over a thousand children",
        ("submit_work", "too_many_needs"): "tests/services/test_queue.py, with 65 needs",
    }
    shown = {(case.tool, case.code) for case in (*CASES, *_ENDS)}
    documented = {
        (name, code)
        for name in sets.CORE
        if (declared := CATALOG.find(name)) is not None
        for code in refusals(declared)
    }
    assert documented - shown == set(elsewhere) & documented
