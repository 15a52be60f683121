"""Proofs out of the ledger: keys, checkpoints, proofs, receipts, replay. They read the database beside the corridor."""

from __future__ import annotations

import json as jsonlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardhouse.errors import InvalidInput, LawFault, LedgerFault, Refusal, SettingsFault, Unauthenticated
from guardhouse.surfaces.cli import exits, ground, render
from guardhouse.surfaces.cli.output import Json, composition_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from guardhouse.settings import Settings

Workspace = Annotated[str, typer.Option(help="Only this workspace's ledger, by slug or id.", show_default=False)]
Key = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VKEY", help="A verifier key, or a file of them; this home's when left out.", show_default=False
    ),
]
Decision = Annotated[str, typer.Argument(help="The decision's id, such as dec_01j9.", show_default=False)]

_CHECKPOINT_TRIES = 12
_CHECKPOINT_PAUSE = 0.25


def key(
    context: typer.Context,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Put a new key in front first; the one before signs along with it.")
    ] = False,
    json: Json = False,
) -> None:
    """Print the verifier keys of this home's signing key: what an auditor keeps elsewhere, and all of it.

    Example: guardhouse ledger key > audit.vkey
    """
    settings = composition_of(context).settings()
    if rotate:
        _rotate(settings)
    found = ground.own_verifiers(settings)
    if not found:
        raise SettingsFault(
            f"there is no signing key at `{settings.resolved_signing_key_file}`: run this where the gateway runs"
        )
    if json:
        render.print_json({"keys": [{"name": one.name, "key": one.text} for one in found]})
    else:
        for one in found:
            sys.stdout.write(one.text + "\n")


def _rotate(settings: Settings) -> None:
    from guardhouse.ledger import keys
    from guardhouse.surfaces.cli import operator

    mark = operator.agent_variable(os.environ)
    if mark:
        raise Unauthenticated(
            f"`{mark}` says that this is an agent's shell, and the signing key is for people: run this in your own terminal"
        )
    path = settings.resolved_signing_key_file
    if not path.exists():
        raise SettingsFault(f"there is no signing key at `{path}`: run this where the gateway runs")
    keys.rotate(path)
    sys.stderr.write("Restart every gateway that signs with it, and give auditors these keys anew.\n")


def checkpoint(context: typer.Context, workspace: Workspace = "", json: Json = False) -> None:
    """Print the newest checkpoint: a signed line of the ledger's size and root, to be kept elsewhere.

    Example: guardhouse ledger checkpoint >> /mnt/audit/checkpoints.log
    """
    from guardhouse.ledger import checkpoint as checkpoints

    settings = composition_of(context).settings()
    with ground.reading(settings) as connection:
        workspace_id = _one(connection, settings, workspace)
        note = checkpoints.latest(connection, workspace_id)
    if note is None:
        raise Refusal("not_found", "there is no checkpoint yet: the gateway writes one a second after the first entry")
    if json:
        found = checkpoints.parse_text(note.rpartition("\n\n")[0] + "\n")
        render.print_json(
            {"origin": found.origin, "tree_size": found.size, "root_hash": found.root.hex(), "note": note}
        )
    else:
        # The empty line ends the note in a file of several.
        sys.stdout.write(note + "\n")


def prove(
    context: typer.Context,
    decision: Annotated[str, typer.Argument(help="The decision to prove, such as dec_01j9.", show_default=False)] = "",
    first: Annotated[
        int, typer.Option("--from", min=0, help="Instead: an earlier size of the ledger.", show_default=False)
    ] = 0,
    last: Annotated[
        int, typer.Option("--to", min=0, help="The later size; the present one when left out.", show_default=False)
    ] = 0,
    workspace: Workspace = "",
    json: Json = False,
) -> None:
    """Prove that an entry is in the ledger, or with --from that the ledger only grew (RFC 9162).

    Example: guardhouse ledger prove --from 100 --to 200 --json
    """
    if bool(decision) == bool(first):
        raise InvalidInput("give either a decision's id, or `--from SIZE` for a proof that the ledger only grew")
    settings = composition_of(context).settings()
    with ground.reading(settings) as connection:
        if decision:
            told = _inclusion(connection, settings, decision, last, workspace)
        else:
            told = _consistency(connection, _one(connection, settings, workspace), first, last)
    if json:
        render.print_json(told)
    else:
        render.record(f"Proof of {told['kind']}", told, skip=("kind", "path"))
        for step in told["path"]:
            render.say(f"  path  {step}")


def receipt(
    context: typer.Context,
    decision: Annotated[str, typer.Argument(help="The decision's id, such as dec_01j9.", show_default=False)] = "",
    output: Annotated[Path | None, typer.Option(help="Write it into this file.", show_default=False)] = None,
    verify: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead: check this receipt, offline.", show_default=False)
    ] = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Print one decision's receipt: a file that proves it to whoever has the verifier key.

    With --verify, check such a file with nothing but the key. Exit 1 when it does not hold.

    Example: guardhouse ledger receipt --verify receipt.txt --key audit.vkey
    """
    if bool(decision) == (verify is not None):
        raise InvalidInput("give either a decision's id, or `--verify FILE` to check a receipt")
    settings = composition_of(context).settings()
    if verify is not None:
        _check_receipt(settings, verify, key or [], json)
        return
    with render.working("waiting for a checkpoint that covers it", shown=not json):
        text = _receipt(settings, decision)
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if json:
        render.print_json({"decision_id": decision, "receipt": text} | ({"file": str(output)} if output else {}))
    elif output is not None:
        render.say(f"the receipt of {decision} is in {output}")
    else:
        sys.stdout.write(text)


def replay(
    context: typer.Context,
    first: Annotated[int, typer.Option("--from", min=0, help="The sequence to begin at.")] = 0,
    workspace: Workspace = "",
    json: Json = False,
) -> None:
    """Decide every recorded call again from its entry alone, and compare. Exit 1 when one comes out otherwise.

    Entries that another version decided are counted apart: an upgrade is no fault.

    Example: guardhouse ledger replay --json
    """
    composition = composition_of(context)
    settings = composition.settings()
    told: dict[str, Any] = {"ok": True, "entries": 0, "decider_changed": 0, "faults": []}
    with ground.reading(settings) as connection:
        for workspace_id, _slug in ground.workspaces(connection, settings, workspace):
            _replay_one(connection, workspace_id, first, told, shown=not json)
    if json:
        render.print_json(told)
    else:
        render.say(
            "every decision comes out again" if told["ok"] else "DECISIONS COME OUT OTHERWISE",
            "bold green" if told["ok"] else "bold red",
        )
        render.record("", told, skip=("ok", "faults"))
        for fault in told["faults"][:20]:
            render.say(f"  entry {fault['sequence']} ({fault['decision_id']}): {', '.join(fault['parts'])}", "red")
    raise typer.Exit(exits.OK if told["ok"] else exits.FAULT)


COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("key", key),
    ("checkpoint", checkpoint),
    ("prove", prove),
    ("receipt", receipt),
    ("replay", replay),
)
"""In the order that `--help` shows."""


def _one(connection: Connection, settings: Settings, named: str) -> str:
    """The one workspace that a command speaks of: named, the setting's, or the only one."""
    chosen = ground.workspaces(connection, settings, named)
    if len(chosen) > 1:
        chosen = [one for one in chosen if one[1] == settings.workspace] or chosen
    if len(chosen) > 1:
        raise InvalidInput(
            f"name one of {len(chosen)} workspaces with `--workspace`: {', '.join(s or w for w, s in chosen)}"
        )
    return chosen[0][0]


def _located(connection: Connection, settings: Settings, decision: str, named: str = "") -> tuple[str, int, bytes]:
    """(workspace, sequence, leaf hash) of a decision; Refusal `not_found`."""
    from guardhouse.ledger import entries

    for workspace_id, _slug in ground.workspaces(connection, settings, named):
        found = entries.by_decision(connection, workspace_id, decision)
        if found is not None:
            return workspace_id, found.sequence, found.leaf_hash
    raise Refusal("not_found", f"there is no decision `{decision}` in this home's database")


def _size(connection: Connection, workspace_id: str, wanted: int) -> int:
    from sqlalchemy import select

    from guardhouse.ledger.tables import HEAD

    size = connection.execute(select(HEAD.c.tree_size).where(HEAD.c.workspace_id == workspace_id)).scalar() or 0
    if wanted > size:
        raise InvalidInput(f"the ledger has {size} entries, not {wanted}")
    return wanted or int(size)


def _inclusion(connection: Connection, settings: Settings, decision: str, wanted: int, named: str) -> dict[str, Any]:
    from guardhouse.ledger import proof
    from guardhouse.ledger.tree import range_root

    workspace_id, index, leaf = _located(connection, settings, decision, named)
    size = _size(connection, workspace_id, wanted)
    if index >= size:
        raise InvalidInput(f"`{decision}` is entry {index}, which a ledger of {size} entries does not hold yet")
    path = proof.prove_inclusion(connection, workspace_id, index, size)
    return {
        "kind": "inclusion",
        "workspace_id": workspace_id,
        "decision_id": decision,
        "index": index,
        "leaf_hash": leaf.hex(),
        "tree_size": size,
        "root_hash": range_root(0, size, proof.subtrees(connection, workspace_id)).hex(),
        "path": [step.hex() for step in path],
    }


def _consistency(connection: Connection, workspace_id: str, first: int, wanted: int) -> dict[str, Any]:
    from guardhouse.ledger import proof
    from guardhouse.ledger.tree import range_root

    last = _size(connection, workspace_id, wanted)
    if first > last:
        raise InvalidInput(f"`--from {first}` is larger than `--to {last}`")
    subtree = proof.subtrees(connection, workspace_id)
    return {
        "kind": "consistency",
        "workspace_id": workspace_id,
        "first_size": first,
        "first_root": range_root(0, first, subtree).hex(),
        "second_size": last,
        "second_root": range_root(0, last, subtree).hex(),
        "path": [step.hex() for step in proof.prove_consistency(connection, workspace_id, first, last)],
    }


def _receipt(settings: Settings, decision: str) -> str:
    """The receipt; waits a moment for the checkpoint that will cover a decision just made."""
    from guardhouse.ledger import proof

    for attempt in range(_CHECKPOINT_TRIES):
        with ground.reading(settings) as connection:
            workspace_id, _index, _leaf = _located(connection, settings, decision)
            try:
                return proof.receipt(connection, workspace_id, decision)
            except Refusal as refusal:
                if refusal.code != "not_yet_checkpointed" or attempt == _CHECKPOINT_TRIES - 1:
                    raise
        time.sleep(_CHECKPOINT_PAUSE)
    raise AssertionError("the last try returns or raises")


def _check_receipt(settings: Settings, file: Path, given: list[str], json: bool) -> None:
    from guardhouse.ledger import proof

    known = ground.verifiers(given) if given else ground.own_verifiers(settings)
    if not known:
        raise InvalidInput(
            "give the verifier key with `--key`: whoever runs the gateway has it from `guardhouse ledger key`"
        )
    if not file.is_file():
        raise InvalidInput(f"there is no file `{file}`")
    try:
        found = proof.verify_receipt(file.read_text(encoding="utf-8"), known)
        entry = jsonlib.loads(found.body)
    except ValueError as error:
        if json:
            render.print_json({"ok": False, "problem": str(error)})
        else:
            render.say("THE RECEIPT DOES NOT HOLD", "bold red")
            render.say(f"  {render.plain(str(error))}", "red")
        raise typer.Exit(exits.FAULT) from None
    if json:
        told = {"ok": True, "origin": found.origin, "index": found.index, "tree_size": found.size, "entry": entry}
        render.print_json(told)
        return
    render.say("the receipt holds", "bold green")
    summary = {name: entry.get(name) for name in ("id", "at", "operation", "effect", "outcome", "bundle")}
    summary |= {
        "principal": entry["principal"]["id"],
        "resource": f"{entry['resource']['type']} {entry['resource']['id']}",
    }
    render.record("", {"ledger": found.origin, "entry": found.index, "of": found.size} | summary)
    if not given:
        render.say(
            "  not proved: that the key is the right one, since it came from this home; give it with `--key`", "yellow"
        )


def _replay_one(connection: Connection, workspace_id: str, first: int, told: dict[str, Any], *, shown: bool) -> None:
    from sqlalchemy.exc import NoResultFound

    from guardhouse.bundle.versions import BundleCache
    from guardhouse.gateway.replay import replay as replay_ledger

    entries = max(0, _size(connection, workspace_id, 0) - first)
    with render.working(f"replaying {workspace_id}", entries, shown=shown) as advance:
        before = 0

        def progress(done: int) -> None:
            nonlocal before
            advance(done - before)
            before = done

        try:
            result = replay_ledger(connection, workspace_id, BundleCache(), first=first, progress=progress)
        except (NoResultFound, LookupError) as error:
            raise LedgerFault(
                f"something that an entry names is gone: run `guardhouse ledger verify` ({error})"
            ) from error
        except LawFault as error:
            raise LedgerFault(
                "a bundle of an earlier version cannot be loaded by this one: replay it with that version"
            ) from error
    told["entries"] += result.entries
    told["decider_changed"] += len(result.differences) - len(result.faults)
    told["faults"] += [
        {
            "workspace_id": workspace_id,
            "sequence": one.sequence,
            "decision_id": one.decision_id,
            "parts": list(one.parts),
        }
        for one in result.faults
    ]
    told["ok"] = not told["faults"]
