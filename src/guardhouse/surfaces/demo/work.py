"""Three agents share a queue: one plans, one dies with a task in hand, one takes over from its handoff.

A player is asked through `call` alone, so it does not matter by which door it comes: the successor comes over MCP.
"""

from __future__ import annotations

import time

from guardhouse.surfaces.demo.account import Account
from guardhouse.surfaces.demo.line import Heard, Player
from guardhouse.surfaces.demo.over_mcp import McpPlayer, over_mcp
from guardhouse.surfaces.demo.stage import Stage

_LEASE_SECONDS = 10
"""The shortest lease there is, so that the play need not wait long for a dead agent's task."""
_PATIENCE_SECONDS = 40.0
_STEPS = ("write the migration", "move the data", "drop the old table")


def share(stage: Stage, account: Account) -> None:
    """Play the whole of it: dependencies, a death, a handoff, a memory, a playbook looked up each cycle."""
    account.act(
        "A shared queue",
        "tasks wait for each other; a dead agent's task is finished by another, over MCP, from its handoff",
    )
    planner = stage.hire("planner", 3, "orchestrator")
    builder = stage.hire("builder", 2)
    with over_mcp(stage.hire("successor", 2)) as successor:
        account.step(
            "two agents come over HTTP, the successor over MCP with the official client",
            {"get_work", "complete_work", "recall"} <= set(successor.tools),
            f"{len(successor.tools)} tools offered",
        )
        _share(account, planner, builder, successor)


def _share(account: Account, planner: Player, builder: Player, successor: McpPlayer) -> None:
    players: tuple[tuple[Player | McpPlayer, str], ...] = (
        (planner, "planning"),
        (builder, "databases"),
        (successor, "databases"),
    )
    for player, capability in players:
        player.call("register_session", capabilities=[capability])
    found = planner.call("discover_agents", capabilities=["databases"])
    seen = {item["agent_id"] for item in found["sessions"] or ()}
    account.step("the planner finds who knows databases", seen == {builder.id, successor.id}, f"{len(seen)} agents")
    tasks: list[str] = []
    for title in _STEPS:
        given = planner.call("submit_work", title=title, needs=tasks[-1:], lease_seconds=_LEASE_SECONDS)
        tasks.append(str(given["task_id"]))
    etag = _cycle(account, builder, "")
    first = builder.call("get_work")["task"] or {}
    ended = builder.call("complete_work", task_id=tasks[0], fence=first.get("fence"), summary="the migration is there")
    account.step(
        "only the first task is ready; its end makes the second ready at once",
        first.get("task_id") == tasks[0] and ended["now_ready"] == [tasks[1]],
        f"`{first.get('title')}`, then `{_STEPS[1]}`",
    )
    _die(account, builder, tasks[1], etag)
    _take_over(account, builder, successor, planner, tasks)


def _cycle(account: Account, player: Player | McpPlayer, etag: str) -> str:
    """What an agent does first in every work cycle; the etag for the next one."""
    told = player.call("get_playbook", if_none_match=etag)
    if etag:
        account.step(f"{player.name} asks again for its playbook: not modified", told["not_modified"] is True)
    else:
        account.step(
            f"{player.name} looks up the playbook of its role",
            told.ok and bool(told["invariants"]),
            str(told["title"]),
        )
    return str(told["etag"])


def _die(account: Account, builder: Player, task: str, etag: str) -> None:
    _cycle(account, builder, etag)
    taken = builder.call("get_work")["task"] or {}
    builder.call(
        "remember",
        event_type="lesson",
        summary="The copy locks the table when a batch is larger than 5,000 rows.",
        lessons=["copy in batches of 1,000"],
        tags=["database"],
    )
    left = builder.call(
        "write_handoff",
        summary="Half of the rows are moved.",
        task_id=task,
        in_progress=["batch 12 of 24"],
        next_steps=["go on from batch 13"],
    )
    account.step(
        "the builder takes the second task, leaves a handoff, and is heard of no more",
        taken.get("task_id") == task and left.ok,
        f"fence {taken.get('fence')}, lease of {_LEASE_SECONDS} s",
    )


def _take_over(account: Account, builder: Player, successor: McpPlayer, planner: Player, tasks: list[str]) -> None:
    etag = _cycle(account, successor, "")
    read = successor.call("read_handoff", task_id=tasks[1])["handoffs"] or [{}]
    account.step(
        "its successor reads the handoff",
        read[0].get("next_steps") == ["go on from batch 13"],
        str(read[0].get("next_steps")),
    )
    recalled = successor.call("recall", query="batch rows lock the table")["memories"] or [{}]
    account.step(
        "and recalls what the builder learned",
        recalled[0].get("lessons") == ["copy in batches of 1,000"],
        str(recalled[0].get("summary")),
    )
    taken, waited = _wait_for_work(successor)
    account.step(
        "the dead agent's lease lapses, and the successor gets its task",
        taken.get("task_id") == tasks[1] and taken.get("attempts") == 1,
        f"after {waited:.0f} s, fence {taken.get('fence')}",
    )
    late = builder.call("complete_work", task_id=tasks[1], fence=1, summary="done after all")
    account.step("the dead agent's late word is refused", late.code == "stale_fence", late.code)
    ended = [_end(successor, taken), Heard(0, {})]
    _cycle(account, successor, etag)
    ended[1] = _end(successor, successor.call("get_work")["task"] or {})
    left = [planner.call("list_work", view=view)["tasks"] for view in ("ready", "active", "blocked")]
    account.step(
        "the successor ends the rest, and nothing is left",
        all(heard.ok for heard in ended) and left == [[], [], []],
        ", ".join(str(heard["status"]) for heard in ended),
    )


def _end(player: McpPlayer, task: dict[str, object]) -> Heard:
    return player.call("complete_work", task_id=task.get("task_id"), fence=task.get("fence"), summary="done")


def _wait_for_work(player: McpPlayer) -> tuple[dict[str, object], float]:
    """Ask for work until there is some, and how long that took."""
    started = time.monotonic()
    while time.monotonic() - started < _PATIENCE_SECONDS:
        task = player.call("get_work")["task"]
        if task:
            return task, time.monotonic() - started
        time.sleep(0.5)
    return {}, time.monotonic() - started
