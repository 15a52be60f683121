"""The acts on the law: a site's policy is edited, checked, activated and rolled back; a mode observes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from guardhouse.bundle.load import read_directory, write_site_skeleton
from guardhouse.surfaces.demo.account import Account
from guardhouse.surfaces.demo.line import Heard
from guardhouse.surfaces.demo.stage import Stage

_FILE = "cedar/site.cedar"
_LANE = "res:deploy/production"
_POLICY = """\
// This site: nobody deploys to production without a person.
@id("site.production_needs_a_person")
@effect("approval")
@advice("say in the reason what you deploy; a person answers within the hour")
forbid (principal is Agent, action == Action::"acquire_lock", resource is Lock)
when { resource == Lock::"res:deploy/production" };
"""
_BROKEN = _POLICY.replace("acquire_lock", "aquire_lock")
_BROKEN_LINE = 2
"""Where the faulty policy begins."""
_DESTRUCTIVE = "git push --force origin main"


def edit(stage: Stage, account: Account) -> None:
    """One Cedar file more: broken first, then in force, then rolled back."""
    account.act("A policy is edited", "a fault is found by file and line; the law binds at once and is rolled back")
    site = stage.home.parent / "site"
    _copy(stage, site)
    agent = stage.agents["trust-2"]
    _free_now(account, agent.call("acquire_lock", key=_LANE), "before the edit, trust 2 may lock the production lane")
    agent.call("release_lock", key=_LANE)
    (site / _FILE).write_text(_BROKEN, encoding="utf-8")
    _broken(stage, account, site)
    (site / _FILE).write_text(_POLICY, encoding="utf-8")
    activated = _activate(stage, site, "production needs a person")
    account.step(
        "the mended law is activated",
        activated.ok and activated["changed"] is True,
        f"activation {activated['number']}, {str(activated['digest'])[:19]}…" if activated.ok else activated.message,
    )
    _effect(stage, account)
    back = stage.operator.call("rollback_policy", note="the demo ends")
    account.step(
        "rolled back, the law before is in force",
        back.ok and back["digest"] == activated["previous_digest"],
        f"activation {back['number']}" if back.ok else back.message,
    )
    _free_now(account, agent.call("acquire_lock", key=_LANE), "and trust 2 may lock the lane again")
    agent.call("release_lock", key=_LANE)


def _copy(stage: Stage, site: Path) -> None:
    """A working copy of the site's own part of the law: what it does not say comes from the shipped law."""
    own = stage.home / "policies"
    if own.is_dir():
        shutil.copytree(own, site)
    write_site_skeleton(site)


def _free_now(account: Account, heard: Heard, told: str) -> None:
    account.step(told, heard.ok, heard.code)


def _activate(stage: Stage, site: Path, note: str) -> Heard:
    files = {name: data.decode() for name, data in read_directory(site).items()}
    return stage.operator.call("activate_policy", files=files, note=note)


def _broken(stage: Stage, account: Account, site: Path) -> None:
    checked = stage.command("policy", "check", str(site))
    said = " ".join((checked.stdout + checked.stderr).split())
    place = f"{_FILE}:{_BROKEN_LINE}"
    account.step(
        "`guardhouse policy check` finds the fault in a broken edit, with file and line",
        checked.returncode == 1 and place in said,
        place if place in said else f"exit {checked.returncode}: {said[:200]}",
    )
    refused = _activate(stage, site, "broken on purpose")
    named = [str(fault.get("field")) for fault in refused.error.get("fields", ())]
    account.step(
        "activating it is refused, and the law in force stays",
        refused.status == 422 and place in named,
        f"{refused.code} at {', '.join(named) or 'nowhere'}",
    )


def _effect(stage: Stage, account: Account) -> None:
    agent = stage.agents["trust-2"]
    held = agent.call("acquire_lock", key=_LANE)
    question = str(held["approval_id"] or "")
    account.step(
        "now the same call is held for a person, and the agent reads the policy's advice",
        held.status == 202 and "a person answers within the hour" in str(held.body),
        f"{held.code}, {question}",
    )
    granted = stage.operator.call("grant_approval", approval_id=question, reason="the release is planned")
    first = agent.call("acquire_lock", question, key=_LANE)
    agent.call("release_lock", key=_LANE)
    second = agent.call("acquire_lock", question, key=_LANE)
    account.step(
        "granted, it is performed once, and the same grant is refused the second time",
        granted.ok and first.ok and second.code == "approval_spent",
        f"{first.code}, then {second.code}",
    )


def observe(stage: Stage, account: Account) -> None:
    """Observed instead of enforced: it lets through and says what it would have done; then it binds again."""
    account.act("An observe mode", "lets through, writes down what it would have done, and ends")
    agent = stage.hire("observed", 1)
    before = agent.call("acquire_lock", key="src/observed.py")
    account.step("enforced, trust 1 may not lock", before.status == 403, before.code)
    mode = stage.operator.call("set_mode", scope="agent", id=agent.id, mode="observe", seconds=600, reason="trial")
    through = agent.call("acquire_lock", key="src/observed.py")
    account.step("observed, the same call is let through", mode.ok and through.ok, through.code)
    found = stage.operator.call("query_audit", decision_id=through["decision_id"])
    entry: dict[str, Any] = next(iter(found["entries"] or ()), {})
    account.step(
        "and its entry says what would have been",
        entry.get("would") == "deny" and entry.get("enforced") is False,
        f"would {entry.get('would')}, enforced {entry.get('enforced')}",
    )
    told = agent.call("check_guardrails", operation_text=_DESTRUCTIVE)
    account.step(
        "a check tells its verdict and that it does not bind",
        told["verdict"] == "block" and told["enforced"] is False,
        f"{told['verdict']}, enforced {told['enforced']}",
    )
    ended = stage.operator.call("end_mode", scope="agent", id=agent.id)
    after = agent.call("acquire_lock", key="src/again.py")
    account.step("ended, it binds again with the next call", ended.ok and after.status == 403, after.code)
