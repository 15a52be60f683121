"""`guardhouse check`: what the guardrails say of a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from guardhouse.surfaces.cli import exits, render
from guardhouse.surfaces.cli.door import running
from guardhouse.surfaces.cli.output import Approval, Json, composition_of, finish
from guardhouse.surfaces.cli.output import call as carry

_PREVIEW = "preview, not recorded: no gateway is running; `guardhouse serve` starts one"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The command or statement to examine; it is not run.")],
    kind: Annotated[str, typer.Option(help="shell, sql, file or auto.")] = "auto",
    cwd: Annotated[str, typer.Option(help="The directory the command would run in.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Draw what was found under the command.")] = False,
    approval: Approval = "",
    json: Json = False,
) -> None:
    """Ask what a command would be told. Exit 0 for allow or warn, 10 for ask, 20 for block, 64 for usage.

    Example: guardhouse check "git push --force"
    """
    if not text.strip():
        raise typer.BadParameter("there is nothing to examine")
    if kind not in ("shell", "sql", "file", "auto"):
        raise typer.BadParameter("`--kind` is shell, sql, file or auto")
    if os.environ.get("GUARDHOUSE_URL") or running() is not None:
        body: dict[str, Any] = {"operation_text": text, "kind": kind}
        if cwd:
            body["cwd"] = cwd
        reply = carry(context, "check_guardrails", body, approval_id=approval)
        if not reply.performed:
            finish(reply, json)
        answer: Mapping[str, Any] = reply.result
    else:
        answer = _preview(context, text, kind, cwd)
    if json:
        render.print_json(answer)
    elif explain:
        _draw(answer, text)
    else:
        _show(answer)
    raise typer.Exit(exits.of_verdict(str(answer["verdict"])))


def _preview(context: typer.Context, text: str, kind: str, cwd: str) -> dict[str, Any]:
    """What the shipped packs find, for nobody in particular: no trust lifts a rule here."""
    from guardhouse.guardrails.text import Examined

    packs = composition_of(context).load_bundle(None).packs
    texts = (Examined("operation_text", text, kind, cwd),)
    explained = packs.explain(texts, packs.examine(texts))
    verdicts = {"block": "block", "approval_required": "ask", "warn": "warn"}
    found = [verdicts[one.severity] for one in explained if one.severity in verdicts]
    verdict = next((name for name in ("block", "ask", "warn") if name in found), "allow")
    return {
        "verdict": verdict,
        "safe": verdict in ("allow", "warn"),
        "recorded": False,
        "note": _PREVIEW,
        "violations": [
            {
                "rule_id": one.rule,
                "category": one.category,
                "severity": one.severity,
                "matched_text": one.matched_text,
                "start": one.start,
                "end": one.end,
                "reason": one.reason,
                "alternative": one.alternative,
                "min_trust": one.min_trust,
                "via": list(one.via),
            }
            for one in explained
        ],
    }


def _show(answer: Mapping[str, Any]) -> None:
    verdict = str(answer["verdict"])
    render.say(verdict, render.VERDICT_STYLE.get(verdict, "bold red"))
    for violation in answer["violations"]:
        render.say(f"  {violation['rule_id']} ({violation['severity']}): {render.plain(violation['reason'])}")
        render.say(f"    matched: {render.plain(violation['matched_text'])}", "dim")
        if violation.get("alternative"):
            render.say(f"    instead: {render.plain(violation['alternative'])}", "green")
    _close(answer)


def _close(answer: Mapping[str, Any]) -> None:
    if answer.get("approval_id"):
        render.say(f"  a person can allow it: guardhouse approvals grant {answer['approval_id']}")
    if answer.get("enforced") is False:
        render.say("  observed only: nothing is enforced here", "yellow")
    if answer.get("note"):
        render.say(str(answer["note"]), "yellow", stderr=True)
    elif answer.get("decision_id"):
        render.say(f"  decision: {answer['decision_id']}", "dim")


def _draw(answer: Mapping[str, Any], text: str) -> None:
    """The command with its findings under it. What is a secret stays out of sight here as well: terminals are kept."""
    from guardhouse.guardrails.explain import draw
    from guardhouse.guardrails.text import Explained

    verdict = str(answer["verdict"])
    render.say(verdict, render.VERDICT_STYLE.get(verdict, "bold red"))
    found = []
    for one in answer["violations"]:
        if str(one["matched_text"]).startswith("[redacted:"):
            text = text[: one["start"]] + "*" * (one["end"] - one["start"]) + text[one["end"] :]
        found.append(
            Explained(
                rule=str(one["rule_id"]),
                pack="",
                category=str(one["category"]),
                severity=str(one["severity"]),
                # A gateway of an earlier version tells neither of these two.
                min_trust=int(one.get("min_trust", 5)),
                field="command",
                start=int(one["start"]),
                end=int(one["end"]),
                matched_text=str(one["matched_text"]),
                reason=str(one["reason"]),
                alternative=str(one.get("alternative") or ""),
                via=tuple(map(str, one.get("via") or ())),
            )
        )
    for line in draw(found, text).rstrip("\n").split("\n"):
        render.say(line, _STYLE.get(line.partition("[")[0], ""))
    _close(answer)


_STYLE = {"blocked": "bold red", "needs approval": "bold yellow", "warning": "yellow"}
