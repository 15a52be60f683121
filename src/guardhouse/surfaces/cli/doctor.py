"""`guardhouse doctor`: does the guard stand before every agent, and if not, what is to be run?"""

from __future__ import annotations

import json as jsonlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from guardhouse.errors import GuardhouseError, SettingsFault
from guardhouse.surfaces.cli import exits, operator, render
from guardhouse.surfaces.cli.output import Json, composition_of

if TYPE_CHECKING:
    from guardhouse.surfaces.install.examining import Finding, Word


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(context: typer.Context, json: Json = False) -> None:
    """Examine the installation: home, gateway, mode, and each client's hook, token and last calls.

    Each fault is told with the line that repairs it. Exit 0 when all is well, 1 for a fault, 69 when no gateway runs.

    Example: guardhouse doctor --json
    """
    from guardhouse.surfaces.cli.door import running
    from guardhouse.surfaces.install import examining, placing, records, switches

    home = Path(os.path.realpath(operator.home()))
    findings = [examining.home(home)]
    named = os.environ.get("GUARDHOUSE_URL", "").rstrip("/")
    try:
        found, disbelieved = running(), ""
    except SettingsFault as fault:
        found, disbelieved = None, "" if named else fault.message
    ours = found is not None and named in ("", found.address)
    address = named or (found.address if found is not None else "")
    settings = composition_of(context).settings()
    try:
        installed = list(dict.fromkeys(one.client for one in records.read(home)))
        unreadable = ""
    except GuardhouseError as error:
        installed, unreadable = [], error.message
    told_to = {name: placing.configured(home, name) for name in installed}
    asked = {name: str(held.get("url") or "").rstrip("/") for name, held in told_to.items()}
    lives = {one: _lives(one) for one in dict.fromkeys(asked.values()) if one}
    elsewhere = "" if address or not asked or not all(asked.values()) else next(iter(asked.values()))
    if disbelieved:
        findings.append(examining.Finding("gateway", False, disbelieved, "guardhouse serve"))
    elif named and not ours and not _lives(named):
        silent = f"GUARDHOUSE_URL names {named}, and nothing answers there"
        findings.append(examining.Finding("gateway", False, silent, "unset GUARDHOUSE_URL, or start that gateway"))
        address = ""
    elif elsewhere:
        findings.append(examining.gateway_of_hooks(elsewhere, lives=lives[elsewhere]))
    else:
        findings.append(examining.gateway(address, settings.host, settings.port))
    findings.extend(_mode(address, ours=ours))
    if unreadable:
        findings.append(examining.Finding("records", False, unreadable, "guardhouse install CLIENT"))
    seen: dict[str, Any] = {}
    ground = switches.Ground(Path.home(), operator.folder() or Path("/"), os.environ)
    own = found.address if found is not None else ""
    for name in installed:
        findings.extend(examining.hooks(name, home, ground))
        place = (asked[name] or own) if told_to[name] else ""
        if place and not lives.get(place, True):
            findings.append(examining.silent(name, place))
            place = ""
        elif told_to[name] and not place and address:
            findings.append(examining.none_at_home(name, address, starts=bool(told_to[name].get("start"))))
        # A hook's token goes where the hook itself sends it, and nowhere else: not where this shell would.
        ask = _asking(place, str(told_to[name].get("handle") or "AGENT"), ours=place == own) if place else None
        findings.append(examining.ask_token(name, home, ask))
        seen[name] = {"agent": told_to[name].get("handle", ""), "version": examining.version(name)}
        seen[name] |= examining.calls(name, home)
    findings.extend(examining.managed())
    now = datetime.fromtimestamp(composition_of(context).now() / 1_000_000, UTC)
    for place in dict.fromkeys(one for one in (address, own, *asked.values()) if one and lives.get(one, True)):
        for name, told in examining.over_http(_page(place, "/metrics", ours=place == own), now).items():
            if name in asked and place != (asked[name] or own):
                continue  # another gateway's calls are not this hook's
            seen.setdefault(name, {"agent": "", "version": examining.version(name), "last_call": "", "calls": 0})
            seen[name].setdefault("in_gateway", told)
    if json:
        told = {"ok": all(one.ok for one in findings), "findings": [one.told() for one in findings], "clients": seen}
        render.print_json(told)
    else:
        _show(findings, seen)
    if not findings[1].ok:
        raise typer.Exit(exits.UNAVAILABLE)
    raise typer.Exit(exits.OK if all(one.ok for one in findings) else exits.FAULT)


_OF_HOOKS = {"action": "other", "tool": "doctor"}
"""A question as hooks ask it, about nothing: a pause and a stopped workspace refuse it, and let other reads through."""


def _asking(address: str, handle: str, *, ours: bool) -> Callable[[str], Word]:
    """What asks a gateway about a token: whether it is known, then whether an order stands against its agent."""
    from guardhouse.surfaces.cli.door import HttpDoor
    from guardhouse.surfaces.hooks.repairs import lifting
    from guardhouse.surfaces.install.examining import Word

    def ask(token: str) -> Word:
        try:
            line = HttpDoor(address, token, ours=ours)
        except GuardhouseError as error:
            return Word(error.code)
        try:
            known = line.call("get_my_profile", {})
            reply = line.call("check_tool", _OF_HOOKS) if known.performed else known
        except GuardhouseError as error:
            return Word(error.code)
        finally:
            line.close()
        lifted = lifting(reply.code, reply.error.get("error", {}), handle)
        # What a policy says of that one question is no fault of the token.
        return Word(reply.code if lifted else known.code, lifted)

    return ask


def _lives(address: str) -> bool:
    """Whether a gateway answers at an address that was named; it is told nothing."""
    try:
        return isinstance(jsonlib.loads(_page(address, "/healthz")), dict)
    except ValueError:
        return False


def _page(address: str, path: str, *, ours: bool = False) -> str:
    """What a gateway shows to anybody at a path; empty where it shows nothing to us."""
    import ssl
    import urllib.request

    place = address if "://" in address else f"http://{address}"
    # endpoint.json proved our own; its certificate need not name the loopback address.
    trusted = ssl._create_unverified_context() if ours else None  # noqa: S323
    try:
        with urllib.request.urlopen(f"{place.rstrip('/')}{path}", timeout=5, context=trusted) as page:  # noqa: S310  # the gateway's own address
            return bytes(page.read()).decode()
    except (OSError, ValueError):
        return ""


def _mode(address: str, *, ours: bool) -> list[Finding]:
    """What is only observed; nothing where there is nobody to ask."""
    from guardhouse.surfaces.cli.door import HttpDoor, token_for
    from guardhouse.surfaces.install.examining import Finding

    if not address:
        return []
    try:
        line = HttpDoor(address, operator.token() if ours else token_for(address), ours=ours)
        reply = line.call("list_modes", {"ended": False, "limit": 100})
        line.close()
    except GuardhouseError as error:
        return [Finding("operator token", False, error.message, "guardhouse init")]
    if not reply.performed:
        return [Finding("operator token", False, f"is refused ({reply.code})", "guardhouse tokens rotate")]
    scopes = [f"{one['scope']} {one['id']} until {one['until']}" for one in reply.result["modes"]]
    return [Finding("mode", True, "observes " + "; ".join(scopes) if scopes else "enforces")]


def _calls(told: dict[str, Any]) -> str:
    if not told["calls"]:
        return "no call seen yet"
    return f"last call {told['last_call']}, of {told['calls']} p50 {told.get('p50_ms')} ms, p99 {told.get('p99_ms')} ms"


def _show(findings: list[Finding], seen: dict[str, Any]) -> None:
    for one in findings:
        render.say(
            f"{'ok   ' if one.ok else 'FAULT'}  {one.part}: {render.plain(one.detail)}", "" if one.ok else "bold red"
        )
        if not one.ok and one.repair:
            render.say(f"       repair: {one.repair}")
    for name, told in seen.items():
        version = f"; {render.plain(told['version'])}" if told["version"] else "; the client is not on this path"
        if told["agent"]:
            render.say(f"       {name} as {told['agent']}: {_calls(told)}{version}")
        if "in_gateway" in told:
            render.say(
                f"       {name} in the gateway{'' if told['agent'] else ', over HTTP'}: {_calls(told['in_gateway'])}"
            )
    if not seen:
        render.say("       no client has a hook yet: `guardhouse install claude-code` puts one in")
