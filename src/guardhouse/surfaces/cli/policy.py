"""`guardhouse policy`: the law that judges every call, checked, put in force and rolled back."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardhouse.errors import GuardhouseError, InvalidInput, LawFault, LawProblem
from guardhouse.surfaces.cli import exits, naming, operator, render, spans
from guardhouse.surfaces.cli.composition import Composition
from guardhouse.surfaces.cli.door import Door, Reply, open_door
from guardhouse.surfaces.cli.output import Json, composition_of, finish, more

if TYPE_CHECKING:
    from guardhouse.bundle import Bundle

policy = typer.Typer(help="Check, activate and roll back policies.", no_args_is_help=True)

Note = Annotated[str, typer.Option("--note", help="What changes and why, for the history.", show_default=False)]
_SHORT = len("sha256:") + 12


def register(app: typer.Typer) -> None:
    """Add the noun."""
    app.add_typer(policy, name="policy")


@policy.command("check")
def check(
    context: typer.Context,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The policies; this home's when left out.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Load policies as activating would, and say what is wrong or what would change. Nothing is put in force.

    Needs no gateway and no database. Exit 1 on any fault, each with its file, its line and what to do.

    Example: guardhouse policy check policies
    """
    composition = composition_of(context)
    place = directory or operator.home() / "policies"
    with render.working("loading the policies", shown=not json):
        bundle, problems = _load(composition, place)
    if bundle is None:
        if json:
            render.print_json({"ok": False, "problems": [_problem(one) for one in problems]})
        else:
            for one in problems:
                render.say(_located(place, one), "red")
            render.say(f"{_count(len(problems), 'fault')}: nothing of it would be loaded", "bold red", stderr=True)
        raise typer.Exit(exits.FAULT)
    with render.working("comparing them with the bundle in force", shown=not json):
        changes, why = _changes(composition, bundle)
    if json:
        told = {"ok": True, "digest": bundle.digest, "law": bundle.law, "engine": bundle.engine}
        render.print_json(told | {"files": len(bundle.files), "changes": changes, "not_compared": why})
        return
    render.say(
        f"{place}: {_count(len(bundle.files), 'file')} and {_count(len(bundle.packs.rules), 'rule')} hold", "green"
    )
    render.record("", {"digest": bundle.digest, "engine": bundle.engine})
    _show_changes(changes, why)


@policy.command("show")
def show(
    context: typer.Context,
    digest: Annotated[
        str,
        typer.Argument(
            help="Which bundle, whole or by six digits; the one in force when left out.", show_default=False
        ),
    ] = "",
    file: Annotated[str, typer.Option(help="Print this one file as it is.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Show the files of the bundle in force, or of an earlier one.

    Example: guardhouse policy show --file network/default.yaml
    """
    with open_door(composition_of(context)) as door:
        reply = door.call("show_policy", {"digest": naming.digest(door, digest, json)} if digest else {})
    if file and reply.performed and not json:
        _print_file(reply, file)
        return
    finish(reply, json, _show_bundle)


@policy.command("activate")
def activate(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The policies to put in force.", show_default=False)],
    note: Note = "",
    json: Json = False,
) -> None:
    """Put the policies of a directory in force, whole or not at all, from the very next call.

    What the directory includes goes along. Grants given under other policies become stale.

    Example: guardhouse policy activate policies --note "allow the new registry"
    """
    body = {"files": _texts(directory), "note": note}
    with render.working("activating the policies", shown=not json), open_door(composition_of(context)) as door:
        reply = door.call("activate_policy", body)
    if reply.code == "invalid_bundle" and not json:
        for fault in reply.error.get("error", {}).get("fields", ()):
            render.say(
                f"{_place(directory, str(fault['field']))}: {render.plain(fault['problem'])}", "red", stderr=True
            )
        reply = Reply(reply.code, {}, {}, reply.message, reply.decision_id)
    finish(reply, json, _show_activated)


@policy.command("history")
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The most to show.")] = 50,
    before: Annotated[
        int | None, typer.Option(min=1, help="Only those with a lower number.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List what was in force, newest first: when, by whom, and why.

    Example: guardhouse policy history --limit 5
    """
    with open_door(composition_of(context)) as door:
        reply = door.call("policy_history", {"limit": limit} | ({"before": before} if before else {}))
        known = naming.names(door) if reply.performed and not json else {}
        finish(reply, json, lambda result: _show_history(result, known))


@policy.command("rollback")
def rollback(
    context: typer.Context,
    digest: Annotated[
        str,
        typer.Argument(help="Which bundle, whole or by six digits; the one before when left out.", show_default=False),
    ] = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Put back the bundle that was in force before, or any earlier one.

    Example: guardhouse policy rollback --note "the registry rule was too wide"
    """
    with open_door(composition_of(context)) as door:
        body: dict[str, Any] = {"note": note}
        if digest:
            body["digest"] = naming.digest(door, digest, json)
        with render.working("putting the policies back", shown=not json):
            reply = door.call("rollback_policy", body)
        finish(reply, json, _show_activated)


def _load(composition: Composition, directory: Path) -> tuple[Bundle | None, Sequence[LawProblem]]:
    """The bundle of a directory, or every problem that keeps it from loading. Hostile text ends a child, not this."""
    from guardhouse.bundle import child, load

    try:
        files = load.read_directory(directory)
        problems = child.parse_untrusted(files, actions=composition.actions())
        return (None, problems) if problems else (load.load_files(files, composition.actions()), ())
    except LawFault as fault:
        return None, fault.problems


def _texts(directory: Path) -> dict[str, str]:
    """The effective files of a directory as texts; LawFault names the one that is no UTF-8."""
    from guardhouse.bundle import load

    texts: dict[str, str] = {}
    for name, data in load.read_directory(directory).items():
        try:
            texts[name] = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise LawFault([LawProblem(name, line, "this is not UTF-8", "save the file as UTF-8")]) from error
    return texts


def _changes(composition: Composition, bundle: Bundle) -> tuple[dict[str, Any] | None, str]:
    """What activating a bundle would change, or why that cannot be told here."""
    from guardhouse.bundle import load
    from guardhouse.bundle.difference import difference

    try:
        with open_door(composition) as door:
            active = _active(door)
        if isinstance(active, str):
            return None, active
        files = {name: text.encode() for name, text in active["files"].items()}
        if active["digest"] == bundle.digest:
            return {"active": active["digest"], "changed": False}, ""
        found = difference(load.load_stored(files), bundle)
    except LawFault:
        return None, "the bundle in force was made by another version of Guardhouse and cannot be loaded here"
    except GuardhouseError as error:
        return None, error.message
    return {
        "active": active["digest"],
        "changed": True,
        "law": found.law,
        "files_added": list(found.added),
        "files_removed": list(found.removed),
        "files_changed": list(found.changed),
        "rules_added": list(found.rules_added),
        "rules_removed": list(found.rules_removed),
        "rules_changed": list(found.rules_changed),
    }, ""


def _active(door: Door) -> Mapping[str, Any] | str:
    reply = door.call("show_policy", {})
    return reply.result if reply.performed else f"{reply.code}: {reply.message}"


def _problem(one: LawProblem) -> dict[str, Any]:
    return {"file": one.file, "line": one.line, "problem": one.message, "remedy": one.remedy}


def _place(directory: Path, name: str) -> str:
    """A path that an editor can open, where the directory has the file itself; otherwise it was included."""
    file = name.partition(":")[0]
    return str(directory / name) if (directory / file).exists() or file == directory.name else f"included {name}"


def _located(directory: Path, one: LawProblem) -> str:
    if one.file == directory.name and not (directory / one.file).exists():
        return render.plain(str(LawProblem(str(directory), 0, one.message, one.remedy)))
    return render.plain(str(LawProblem(_place(directory, one.file), one.line, one.message, one.remedy)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _print_file(reply: Reply, name: str) -> None:
    files: Mapping[str, str] = reply.result["files"]
    if name not in files:
        raise InvalidInput(f"the bundle has no file `{name}`: `guardhouse policy show` lists them")
    sys.stdout.write(files[name])


def _show_bundle(result: Mapping[str, Any]) -> None:
    render.record("The bundle in force" if result["active"] else "A bundle", {"digest": result["digest"]})
    rows = [
        {"file": name, "lines": text.count("\n"), "bytes": len(text.encode())} for name, text in result["files"].items()
    ]
    render.table("", ("file", "lines", "bytes"), rows, "it has no files")


def _show_changes(changes: Mapping[str, Any] | None, why: str) -> None:
    if changes is None:
        render.say(f"not compared with the bundle in force: {render.plain(why)}", "yellow")
        return
    if not changes["changed"]:
        render.say("it is the bundle in force: activating it changes nothing")
        return
    render.say(f"activating it would replace {str(changes['active'])[:_SHORT]}:", "bold")
    for kind in ("files", "rules"):
        for mark, what in (("+", "added"), ("-", "removed"), ("~", "changed")):
            for name in changes[f"{kind}_{what}"]:
                render.say(f"  {mark} {'rule ' if kind == 'rules' else ''}{render.plain(name)}")
    render.say(
        "  it judges otherwise: grants given before become stale" if changes["law"] else "  it judges as before", "dim"
    )


def _show_activated(result: Mapping[str, Any]) -> None:
    if not result["changed"]:
        render.say(f"{result['digest'][:_SHORT]} was in force already; nothing was written")
        return
    render.say(f"{result['digest'][:_SHORT]} is in force (number {result['number']})", "green")
    render.say(f"  before: {result['previous_digest'][:_SHORT]}; `guardhouse policy rollback` puts it back", "dim")


def _show_history(result: Mapping[str, Any], known: Mapping[str, str]) -> None:
    rows = [
        {**item, "at": spans.shown(item["at"]), "digest": item["digest"][:_SHORT], "law": item["law"][:_SHORT]}
        | {"by": known.get(item["by_id"], item["by_id"])}
        for item in result["activations"]
    ]
    render.table("Law", ("number", "active", "digest", "at", "by", "note"), rows, "nothing was ever in force")
    more(result, "--before")
