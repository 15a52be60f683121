"""`guardhouse install` and `guardhouse uninstall`: the hook into an agent's client, and out again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardhouse.errors import InvalidInput, Unauthenticated
from guardhouse.surfaces.cli import exits, operator, render
from guardhouse.surfaces.cli.output import Json, composition_of

if TYPE_CHECKING:
    from guardhouse.surfaces.install.acting import Left, Wish
    from guardhouse.surfaces.install.planning import Change
    from guardhouse.surfaces.install.registering import Agent

Name = Annotated[
    str,
    typer.Argument(
        metavar="CLIENT", help="claude-code, codex, gemini, cursor, copilot or opencode.", show_default=False
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be changed, and change nothing.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("install")(install)
    app.command("uninstall")(uninstall)


def install(
    context: typer.Context,
    client: Name,
    user: Annotated[bool, typer.Option("--user", help="For all your work with this client; the default.")] = False,
    project: Annotated[bool, typer.Option("--project", help="For this folder, in a file that git ignores.")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="For this folder, in the file that a team commits.")] = False,
    managed: Annotated[bool, typer.Option("--managed", help="Print what an organisation's settings need.")] = False,
    observe: Annotated[bool, typer.Option("--observe", help="Only record what would be stopped, for 7 days.")] = False,
    posture: Annotated[
        str,
        typer.Option(
            help="What happens where no gateway answers: `closed` denies, `open` lets run. As before, else closed.",
            show_default=False,
        ),
    ] = "",
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Put Guardhouse before every tool of an agent's client.

    Shows the change, merges it into the client's settings and leaves every other byte as it was. Registers the
    agent `<you>-<client>` (role developer, trust 2), or finds it again. Safe to repeat.

    Example: guardhouse install claude-code --observe
    """
    from guardhouse.surfaces.install import acting, remembered
    from guardhouse.surfaces.install import managed as managing

    acting.known(client)
    if posture not in ("", *remembered.POSTURES):
        raise InvalidInput("`--posture` is `closed` or `open`")
    if user + (project and not shared) + shared + managed > 1:
        raise InvalidInput("give one of `--user`, `--project`, `--shared` and `--managed`")
    if managed:
        fragment = managing.fragment(client, os.environ.get("GUARDHOUSE_URL", ""))
        render.print_json(fragment) if json else managing.show(fragment)
        return
    scope = "shared" if shared else "project" if project else "user" if user else ""
    home = Path(os.path.realpath(operator.home()))
    wishes, notes = _wishes(client, scope, posture, home)
    changes = [change for wish in wishes for change in acting.plan(wish)]
    told = _told(wishes, changes, home) | {"dry_run": dry_run}
    told["notes"] = [*notes, *told["notes"]]
    if not json:
        for note in notes:
            render.say(render.plain(note))
    if not json:
        _show_changes(changes)
    if dry_run:
        if json:
            render.print_json(told)
        return
    mark = operator.agent_variable(os.environ)
    if mark and not os.environ.get("GUARDHOUSE_TOKEN"):
        raise Unauthenticated(
            f"`{mark}` says that this is an agent's shell: a person installs, in a terminal of theirs"
        )
    with render.working("registering the agent and its hook", shown=not json):
        agent = _install(context, wishes[0], changes, observe=observe)
    told |= {"agent": agent.handle, "agent_id": agent.agent_id, "new_agent": agent.new}
    told |= {"retired_agent": agent.retired or None}
    told |= {"observed_until": agent.observed_until or None}
    if json:
        render.print_json(told)
        return
    _show_done(client, agent, changed=bool(told["files"]))


def _wishes(client: str, scope: str, posture: str, home: Path) -> tuple[list[Wish], list[str]]:
    """What is to be put in where, and what a person is told of it: what they did not say is as it was before."""
    from guardhouse.surfaces.install import acting, remembered

    before = remembered.before(client, home)
    if before.url and "GUARDHOUSE_URL" not in os.environ:
        raise InvalidInput(
            f"this hook asks {before.url}: set GUARDHOUSE_URL to that to repair it, or run `guardhouse uninstall {client}` "
            "first to have it ask this machine's own gateway"
        )
    notes = [] if scope else list(before.notes)
    if before.posture == "open" and not posture:
        notes.append(
            "kept: posture open, so tools run unasked where no gateway answers; `--posture closed` denies them"
        )
    chosen = posture or before.posture or "closed"
    places = [remembered.Where(scope, operator.folder())] if scope else list(before.places)
    if not scope and any(one.scope != "user" for one in places):
        where = ", ".join(f"--{one.scope}{f' in {one.folder}' if one.folder else ''}" for one in places)
        notes.append(f"kept: {where}; `--user`, `--project` or `--shared` puts it elsewhere too")
    made = [
        acting.Wish(client, one.scope, chosen, home, Path.home(), one.folder, os.environ)
        for one in places or [remembered.Where("user")]
    ]
    return made, notes


def _install(context: typer.Context, wish: Wish, changes: list[Change], *, observe: bool) -> Agent:
    from guardhouse.surfaces.cli.door import open_door
    from guardhouse.surfaces.install import acting, placing, registering

    placing.place(wish.home)
    held = placing.configured(wish.home, wish.client)
    held_id = str(held.get("token_id", "")) if placing.token_file(wish.home, wish.client).exists() else ""
    with open_door(composition_of(context)) as door:
        agent = registering.register(door, wish.client, held_token_id=held_id, observe=observe)
    url = os.environ.get("GUARDHOUSE_URL", "")
    hooked = placing.Hooked(wish.client, url, wish.posture, agent.agent_id, agent.token_id, agent.handle)
    placing.configure(wish.home, hooked, agent.token)
    acting.carry_out(changes, wish.home)
    return agent


def uninstall(
    client: Annotated[
        str,
        typer.Argument(
            metavar="[CLIENT]", help="claude-code, codex, gemini, cursor, copilot or opencode.", show_default=False
        ),
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Every client that it was installed for.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Take Guardhouse out of a client's settings: what it changed is restored, and nothing else.

    Needs neither a gateway, a database nor a token. Also works where you changed the file since. What cannot be
    restored is told with its reason, stops none of the rest, and ends this with exit 1.

    Example: guardhouse uninstall claude-code
    """
    from guardhouse.surfaces.install import acting
    from guardhouse.surfaces.install.clients import CLIENTS

    if bool(client) is every:
        raise InvalidInput("name a client, or give `--all`")
    mark = operator.agent_variable(os.environ)
    if mark and not dry_run:
        raise Unauthenticated(
            f"`{mark}` says that this is an agent's shell: a person uninstalls, in a terminal of theirs"
        )
    home = Path(os.path.realpath(operator.home()))
    wanted = [acting.known(client)] if client else list(CLIENTS)
    planned = acting.removals(wanted, home, Path.home(), operator.folder(), os.environ)
    changes, left = acting.shown(planned)
    told: dict[str, Any] = {"files": [str(one.lying.path) for one in changes if not one.nothing], "dry_run": dry_run}
    told["notes"] = _notes(changes)
    if not json:
        _show_changes(changes)
    if not dry_run:
        left = acting.take_out(planned)
    told["left"] = [one.told() for one in left]
    if json:
        render.print_json(told)
    elif not planned:
        render.say("nothing was installed here")
    else:
        _show_out(left, dry_run=dry_run)
    if left:
        raise typer.Exit(exits.FAULT)


def _show_out(left: list[Left], *, dry_run: bool) -> None:
    for one in left:
        render.say(
            f"not taken out{f' ({one.client})' if one.client else ''}: {render.plain(one.why)}", "bold red", stderr=True
        )
    if left and not dry_run:
        render.say("What could be restored was. Repair what is told above, then run this again.", stderr=True)
    elif not dry_run:
        render.say("Guardhouse is out. The agent stays registered: `guardhouse agents retire` ends it.", "bold")


def _told(wishes: list[Wish], changes: list[Change], home: Path) -> dict[str, Any]:
    return {
        "client": wishes[0].client,
        "scope": ", ".join(dict.fromkeys(one.scope for one in wishes)),
        "posture": wishes[0].posture,
        "files": [str(one.lying.path) for one in changes if not one.nothing],
        "diff": "".join(one.diff() for one in changes),
        "notes": _notes(changes),
        "home": str(home),
    }


def _notes(changes: list[Change]) -> list[str]:
    return [one.note for one in changes if one.note]


def _show_changes(changes: list[Change]) -> None:
    for change in changes:
        # Not through Rich: a diff is to be read, kept and applied as it is.
        sys.stdout.write(change.diff())
    for note in _notes(changes):
        render.say(render.plain(note), "yellow")


def _show_done(client: str, agent: Agent, *, changed: bool) -> None:
    from guardhouse.surfaces.install.clients import CLIENTS

    known = CLIENTS[client]
    what = "is installed" if changed else "was installed already"
    render.say(f"\n{known.title}: Guardhouse {what}; its agent is {agent.handle} ({agent.agent_id})", "bold green")
    if agent.retired:
        render.say(f"{agent.retired} was retired, and a handle is given once: {agent.handle} is a new agent")
    if agent.observed_until:
        from guardhouse.surfaces.cli import spans

        render.say(f"It only observes until {spans.shown(agent.observed_until)}; `guardhouse report` tells what it saw")
    if known.after:
        render.say(f"Next: {known.after}; then `guardhouse doctor`")
