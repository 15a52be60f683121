"""What is offered, and every tool of the core set in every way: the documented answer, and one entry each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client

from guardhouse.operations import CATALOG
from guardhouse.surfaces.mcp import sets, tools
from tests.surfaces.mcp.clients import code_of, run, text_of
from tests.surfaces.mcp.conftest import Place
from tests.test_docs import DOCS

_CHARACTERS_A_TOKEN = 3.5
"""Fewer than the tokenizers in use need for these schemas (4.2), so that the count errs to the safe side."""


def test_the_core_set_is_the_nineteen_names() -> None:
    assert len(sets.CORE) == len(set(sets.CORE)) == 19
    for name in (*sets.CORE, *sets.GUARD):
        declared = CATALOG.find(name)
        assert declared is not None, name
        assert declared.name == name, "a tool is shown under its one name"


@pytest.mark.parametrize("name", ["guard", "core", "all"])
def test_a_set_costs_a_model_what_the_docs_say(name: str) -> None:
    shown = [
        tools.tool(declared).model_dump(by_alias=True, mode="json", exclude_none=True)
        for declared in sets.members(name, CATALOG)
    ]
    size = len(json.dumps(shown, separators=(",", ":"), ensure_ascii=False)) / _CHARACTERS_A_TOKEN
    page = (DOCS / "mcp.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}`.*\| ([0-9,]+)(?:; [^|]+)? \|", page, re.MULTILINE)
    assert row is not None
    told = int(row[1].replace(",", ""))
    assert abs(told - size) <= size / 100, f"docs/mcp.md: `{name}` costs {size:,.0f}"
    assert name != "core" or size < 6_000


def test_every_tool_tells_every_field_of_its_operation() -> None:
    for declared in CATALOG:
        told = tools.input_schema(declared)
        own = {tools.APPROVAL} if tools.takes_approval(declared) else set()
        assert set(told["properties"]) - own == set(declared.ask.model_fields), declared.name
        assert own - set(declared.ask.model_fields) == own, "the door's own argument hides a field"
        assert "$ref" not in json.dumps(told), declared.name
        assert set(told.get("required", ())) == {
            name for name, field in declared.ask.model_fields.items() if field.is_required()
        }


def test_c13_c24_c30_every_tool_of_the_core_set_answers_as_documented(place: Place, way: str) -> None:
    worker = place.world.agent("worker")
    before = place.world.count()
    used: list[str] = []

    async def work() -> None:
        async with place.client(way, worker) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == list(sets.CORE)
            assert place.world.count() == before

            async def ask(name: str, **arguments: Any) -> dict[str, Any]:
                answer = await client.call_tool(name, arguments)
                assert not answer.is_error, text_of(answer)
                assert answer.structured_content is not None
                assert json.loads(text_of(answer)) == answer.structured_content
                used.append(name)
                entry = place.world.entry(answer.structured_content["decision_id"])
                assert (entry["operation"], entry["surface"], entry["outcome"]) == (name, "mcp", "performed")
                assert entry["principal"]["id"] == worker.id
                return dict(answer.structured_content)

            await every_tool(ask, worker.id)

    run(work)
    assert sorted(used) == sorted(sets.CORE)
    assert place.world.count() - before == len(used)


async def every_tool(ask: Callable[..., Any], agent_id: str) -> None:
    """One agent's day through each of the nineteen."""
    registered = await ask("register_session", capabilities=["python"], agent_type="test")
    assert registered["heartbeat_seconds"] > 0
    assert (await ask("heartbeat", activity="working"))["session_id"] == registered["session_id"]
    assert [one["agent_id"] for one in (await ask("discover_agents", capabilities=["python"]))["sessions"]] == [
        agent_id
    ]
    assert "acquire_lock" in (await ask("get_my_profile"))["permitted"]
    assert (await ask("check_policy", operation="acquire_lock", resource_id="res:a"))["effect"] == "allow"
    checked = await ask("validate_cedar_policy", policy_text="permit (principal, action, resource);")
    assert not checked["valid"], "it has no @id"
    assert (await ask("check_guardrails", operation_text="ls -l"))["safe"]
    taken = await ask("acquire_lock", key="res:a", ttl_seconds=60)
    assert [lock["key"] for lock in (await ask("check_locks", own=True))["locks"]] == [taken["key"]]
    await ask("release_lock", key="res:a")
    task = await ask("submit_work", title="write the page", definition_of_done="it can be read")
    assert (await ask("get_task", task_id=task["task_id"]))["title"] == "write the page"
    claimed = (await ask("get_work"))["task"]
    assert claimed["task_id"] == task["task_id"]
    done = await ask("complete_work", task_id=task["task_id"], fence=claimed["fence"], summary="written")
    assert done["status"] == "done", done
    left = await ask("write_handoff", summary="the page is written", next_steps=["read it"])
    assert (await ask("read_handoff"))["handoffs"][0]["handoff_id"] == left["handoff_id"]
    kept = await ask("remember", event_type="lesson", summary="pages need a reader", tags=["docs"])
    assert (await ask("recall", query="reader"))["memories"][0]["memory_id"] == kept["memory_id"]
    found = await ask("query_audit", operation="remember", limit=1)
    assert [(entry["operation"], entry["surface"]) for entry in found["entries"]] == [("remember", "mcp")]


def test_c24_what_one_door_writes_the_other_reads(place: Place) -> None:
    """A gateway of its own process, spoken to over standard input, and one behind HTTP: one database, one state."""
    here, there = place.world.agent("here"), place.world.agent("there")

    async def work() -> None:
        async with place.client("local", here) as near, place.client("http", there) as far:

            async def ask(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
                answer = await client.call_tool(name, arguments)
                assert answer.structured_content is not None
                return dict(answer.structured_content)

            await ask(near, "acquire_lock", key="res:lane")
            assert [lock["agent_id"] for lock in (await ask(far, "check_locks"))["locks"]] == [here.id]
            refused = (await ask(far, "acquire_lock", key="res:lane"))["error"]
            assert (refused["code"], refused["holder_alias"]) == ("held", "here")
            task = await ask(far, "submit_work", title="over HTTP")
            claimed = (await ask(near, "get_work"))["task"]
            assert claimed["task_id"] == task["task_id"]
            late = (await ask(far, "complete_work", task_id=task["task_id"], summary="x"))["error"]
            assert (late["code"], late["holder_agent_id"]) == ("not_holder", here.id)
            await ask(near, "complete_work", task_id=task["task_id"], fence=claimed["fence"], summary="over a pipe")
            assert (await ask(far, "get_task", task_id=task["task_id"]))["summary"] == "over a pipe"
            await ask(far, "remember", event_type="lesson", summary="doors share one room")
            assert len((await ask(near, "recall", query="doors"))["memories"]) == 1

    run(work)


def shown(place: Place, way: str, who: Any, **options: str) -> set[str]:
    """The names of the tools that a caller is shown."""

    async def work() -> set[str]:
        async with place.client(way, who, **options) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    return run(work)


def test_the_sets_are_chosen_by_the_address_or_the_environment(place: Place, light_way: str) -> None:
    agent = place.world.agent("worker")
    assert shown(place, light_way, agent, tools="guard") == set(sets.GUARD)
    everything = shown(place, light_way, agent, tools="all")
    assert everything > set(sets.CORE) | set(sets.GUARD)
    assert "add_agent" not in everything, "governing is for people"
    assert "add_agent" in shown(place, light_way, place.world.operator, tools="all")


def test_a_tool_that_policy_or_profile_denies_is_not_offered(place: Place) -> None:
    looker, suspended = place.world.agent("looker", trust=1), place.world.agent("gone", trust=0)
    shown_to_looker = shown(place, "http", looker)
    assert {"check_locks", "recall", "check_guardrails"} <= shown_to_looker
    assert not shown_to_looker & {"acquire_lock", "submit_work", "remember"}
    assert shown(place, "http", suspended) == set()
    # A profile takes away what every policy permits at this trust, and the call is refused for that reason.
    reader, writer = place.world.agent("critic", trust=3, profile="reviewer"), place.world.agent("writer", trust=3)
    denied = {"acquire_lock", "submit_work", "remember", "get_work"}
    assert denied <= shown(place, "http", writer)
    shown_to_reader = shown(place, "http", reader)
    assert {"check_locks", "recall", "register_session", "heartbeat"} <= shown_to_reader
    assert not shown_to_reader & denied

    async def work() -> str:
        async with place.client("http", reader) as client:
            return code_of(await client.call_tool("acquire_lock", {"key": "res:a"}))

    assert run(work) == "operation_not_in_profile"
    builder = place.world.agent("builder")
    assert "remember" in shown(place, "http", builder)
    place.enact("site", '@id("site.no_memories")\nforbid (principal is Agent, action == Action::"remember", resource);')
    assert "remember" not in shown(place, "http", builder), "the very next list follows the law"


def test_a_tool_that_is_permitted_somewhere_is_offered(place: Place) -> None:
    """The list is decided for no resource, so a permit that looks at one keeps the tool, and the call is judged."""
    looker = place.world.agent("looker", trust=1)
    place.enact(
        "site",
        '@id("site.lane")\npermit (principal is Agent, action == Action::"acquire_lock", resource == Lock::"res:lane");\n'
        '@id("site.tasks")\npermit (principal is Agent, action == Action::"submit_work", resource is Task);',
    )
    offered = shown(place, "http", looker)
    assert {"acquire_lock", "submit_work"} <= offered
    assert "remember" not in offered

    async def work() -> None:
        async with place.client("http", looker) as client:
            assert not (await client.call_tool("acquire_lock", {"key": "res:lane"})).is_error
            assert code_of(await client.call_tool("acquire_lock", {"key": "res:other"})) == "policy_not_permitted"

    run(work)


async def read(client: Client, uri: str) -> Any:
    """The JSON that a resource holds."""
    contents = (await client.read_resource(uri)).contents
    assert len(contents) == 1
    return json.loads(contents[0].text)  # type: ignore[union-attr]  # our resources are text


def test_reading_a_resource_is_a_call_like_any_other(place: Place, light_way: str) -> None:
    from mcp.shared.exceptions import MCPError

    agent = place.world.agent("worker")
    place.world.done(agent, "acquire_lock", {"key": "res:a"})
    task = place.world.done(agent, "submit_work", {"title": "write the page"})
    place.world.done(agent, "write_handoff", {"summary": "half way"})
    place.world.done(agent, "remember", {"event_type": "lesson", "summary": "pages need a reader"})
    before = place.world.count()

    async def work() -> int:
        async with place.client(light_way, agent) as client:
            listed = {resource.name for resource in (await client.list_resources()).resources}
            assert {"locks", "work", "handoffs", "memories", "guardrails", "profile", "audit"} <= listed
            families = (await client.list_resource_templates()).resource_templates
            assert {family.uri_template for family in families} >= {"guardhouse://work/{task_id}"}
            assert place.world.count() == before
            locks = await read(client, "guardhouse://locks")
            assert [lock["key"] for lock in locks["locks"]] == ["res:a"]
            assert place.world.entry(locks["decision_id"])["operation"] == "check_locks"
            assert [one["title"] for one in (await read(client, "guardhouse://work"))["tasks"]] == ["write the page"]
            assert (await read(client, f"guardhouse://work/{task['task_id']}"))["title"] == "write the page"
            assert (await read(client, "guardhouse://handoffs"))["handoffs"][0]["summary"] == "half way"
            assert len((await read(client, "guardhouse://memories/reader"))["memories"]) == 1
            assert (await read(client, "guardhouse://guardrails/ls%20-l"))["safe"]
            rules = (await read(client, "guardhouse://guardrails"))["rules"]
            pushed = next(rule for rule in rules if rule["rule_id"] == "git.push.force")
            assert pushed["category"] == "git"
            assert all((pushed["severity"], pushed["reason"], pushed["alternative"]))
            assert (await read(client, "guardhouse://guardrails/asked"))["entries"]
            assert (await read(client, "guardhouse://profile"))["principal_id"] == agent.id
            assert (await read(client, "guardhouse://audit"))["entries"]
            with pytest.raises(MCPError, match="no resource at this address"):
                await client.read_resource("guardhouse://nothing")
            with pytest.raises(MCPError, match="not_found"):
                await client.read_resource("guardhouse://work/tsk_none")
        return 11

    assert run(work) == place.world.count() - before
