"""`guardhouse agents`: who may call, and how far they are trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import naming, render, spans
from guardhouse.surfaces.cli.door import open_door
from guardhouse.surfaces.cli.output import After, Json, Limit, Reason, call, composition_of, finish, more

agents = typer.Typer(help="Register agents and set how far they are trusted.", no_args_is_help=True)

Agent = Annotated[str, typer.Argument(help="The agent's handle or id.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(agents, name="agents")


@agents.command("add")
def add(
    context: typer.Context,
    handle: Annotated[str, typer.Argument(help="A short name: lower case letters, digits and dashes.")],
    trust: Annotated[int, typer.Option(min=0, max=4, help="0 suspended, 1 reads, 2 writes, 3 may override, 4 most.")],
    role: Annotated[str, typer.Option(help="Its role, such as developer or reviewer.")] = "agent",
    profile: Annotated[str | None, typer.Option(help="The profile that limits it.")] = None,
    delegated_by: Annotated[str | None, typer.Option(help="The agent on whose behalf it acts.")] = None,
    json: Json = False,
) -> None:
    """Register an agent and print its token, once.

    Example: guardhouse agents add builder --trust 2 --role developer
    """
    body = {"handle": handle, "trust": trust, "role": role, "profile": profile, "delegated_by": delegated_by}
    finish(call(context, "add_agent", body), json, _show_added)


@agents.command("list")
def list_(
    context: typer.Context,
    retired: Annotated[bool, typer.Option("--retired", help="Also those that retired.")] = False,
    limit: Limit = 100,
    after: After = "",
    json: Json = False,
) -> None:
    """List the agents, and what stands against them.

    Example: guardhouse agents list
    """
    with open_door(composition_of(context)) as door:
        reply = door.call("list_agents", {"retired": retired, "limit": limit, "after": after})
        states: dict[str, list[str]] = {}
        if reply.performed and reply.result["agents"] and not json:
            for order in naming.pages(door, "list_controls", {}, "controls", json):
                until = f" until {spans.shown(order['until'])}" if order["until"] else ""
                states.setdefault(order["subject_id"], []).append(f"{order['state']}{until}")
        finish(reply, json, lambda result: _show_list(result, states))


@agents.command("trust")
def trust(
    context: typer.Context,
    agent: Agent,
    level: Annotated[int, typer.Argument(min=0, max=4, help="0 suspended, 1 reads, 2 writes, 3 admin, 4 most.")],
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Give an agent another trust level, from its very next call.

    Example: guardhouse agents trust builder 1 --reason "new model, on trial"
    """
    _on(context, "set_trust", agent, {"trust": level, "reason": reason}, json, _show_trust)


@agents.command("suspend")
def suspend(context: typer.Context, agent: Agent, reason: Reason = "", json: Json = False) -> None:
    """Refuse everything an agent asks, from its very next call, until a person reinstates it.

    Example: guardhouse agents suspend builder --reason "under review"
    """
    _on(context, "suspend_agent", agent, {"reason": reason}, json, _show_order)


@agents.command("stop")
def stop(context: typer.Context, agent: Agent, reason: Reason = "", json: Json = False) -> None:
    """Tell an agent to end its work: like a suspension, but it should not wait for better times.

    Example: guardhouse agents stop builder --reason "wrong branch"
    """
    _on(context, "stop_agent", agent, {"reason": reason}, json, _show_order)


@agents.command("reinstate")
def reinstate(context: typer.Context, agent: Agent, reason: Reason = "", json: Json = False) -> None:
    """Lift every suspension and stop of an agent. Pauses stay.

    Example: guardhouse agents reinstate builder
    """
    _on(context, "reinstate_agent", agent, {"reason": reason}, json, _show_lifted)


@agents.command("pause")
def pause(
    context: typer.Context,
    agent: Agent,
    for_: Annotated[str, typer.Option("--for", help="How long, at most 7d; it ends by itself.")] = "1h",
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Pause an agent for a while, from its very next call.

    Example: guardhouse agents pause builder --for 30m
    """
    _on(context, "pause_agent", agent, {"seconds": spans.seconds(for_), "reason": reason}, json, _show_order)


@agents.command("resume")
def resume(context: typer.Context, agent: Agent, reason: Reason = "", json: Json = False) -> None:
    """End an agent's pause early.

    Example: guardhouse agents resume builder
    """
    _on(context, "resume_agent", agent, {"reason": reason}, json, _show_lifted)


@agents.command("retire")
def retire(context: typer.Context, agent: Agent, reason: Reason = "", json: Json = False) -> None:
    """End an agent for good: its tokens are revoked, its locks and tasks given back. Its handle stays taken.

    Example: guardhouse agents retire builder --reason "replaced by builder-2"
    """
    _on(context, "retire_agent", agent, {"reason": reason}, json, _show_retired)


def _on(
    context: typer.Context,
    operation: str,
    agent: str,
    body: Mapping[str, Any],
    json: bool,
    show: Callable[[Mapping[str, Any]], None],
) -> None:
    """Carry one call on an agent that is named by its handle or its id."""
    with open_door(composition_of(context)) as door:
        finish(door.call(operation, {"agent_id": naming.agent_id(door, agent, json), **body}), json, show)


def _show_added(result: Mapping[str, Any]) -> None:
    render.record("The agent is registered. Its token is shown this once:", result, skip=("decision_id",))


def _show_list(result: Mapping[str, Any], states: Mapping[str, list[str]]) -> None:
    rows = [
        {**item, "state": "retired" if item["retired_at"] else states.get(item["agent_id"], [])}
        for item in result["agents"]
    ]
    columns = ("handle", "agent_id", "trust", "role", "profile", "state")
    render.table("Agents", columns, rows, "there are no agents: `guardhouse agents add HANDLE --trust 2` adds one")
    more(result)


def _show_trust(result: Mapping[str, Any]) -> None:
    render.say(f"{result['agent_id']}: trust {result['trust']} (it was {result['previous_trust']})")


def _show_order(result: Mapping[str, Any]) -> None:
    until = f" until {spans.shown(result['until'])}" if result["until"] else ", until somebody lifts it"
    render.say(f"{result['subject_id']}: {result['state']}{until}")


def _show_lifted(result: Mapping[str, Any]) -> None:
    left = result["still_paused_until"]
    render.say(
        f"{result['subject_id']}: {result['lifted']} lifted"
        + (f"; others' pauses run until {spans.shown(left)}" if left else "")
    )


def _show_retired(result: Mapping[str, Any]) -> None:
    render.say(
        f"{result['agent_id']} is retired; {result['tokens_revoked']} tokens revoked, "
        f"{result['locks_released']} locks released, {result['tasks_released']} tasks given back"
    )
