"""The first acts: a fleet races for locks, is refused what destroys, asks people, and is suspended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from guardhouse.surfaces.demo.account import Account
from guardhouse.surfaces.demo.line import Heard, Player
from guardhouse.surfaces.demo.stage import Stage

ROUNDS = 5
RACERS = 6
_LANE = "res:deploy/staging"
_DESTRUCTIVE = "cd /srv/app && git push --force origin main"
_INSTEAD = "git push --force-with-lease origin main"
_ASKING = "npm publish"


def hire(stage: Stage, account: Account) -> None:
    """Register agents of trust 0 to 3 by the command line, and let each ask what it may."""
    account.act("A fleet of trust 0 to 3", "trust decides: 0 nothing, 1 looks, 2 and 3 work; a forged token is nobody")
    for trust in range(4):
        stage.hire_by_command(f"trust-{trust}", trust)
    told = (
        (0, False, False, "is suspended: it may neither look nor lock"),
        (1, True, False, "may look, not lock"),
        (2, True, True, "may look and lock"),
        (3, True, True, "may look and lock"),
    )
    for trust, looks, locks, words in told:
        agent = stage.agents[f"trust-{trust}"]
        looked, locked = agent.call("check_locks"), agent.call("acquire_lock", key=f"src/part_{trust}.py")
        account.step(
            f"trust {trust} {words}", (looked.ok, locked.ok) == (looks, locks), f"{looked.code}, {locked.code}"
        )
    forged = Player("stranger", stage.address, "gh_agt_not-a-token").call("check_locks")
    account.step("a forged token is nobody", forged.status == 401, f"{forged.status} {forged.code}")


def race(stage: Stage, account: Account) -> None:
    """Several agents ask for one lock at the same instant, round after round."""
    account.act(
        "A race for one lock", f"{ROUNDS} races of {RACERS}, one winner each, fences rise, losers know when to return"
    )
    racers = [stage.hire(f"racer-{number}", 2 + number % 2) for number in range(RACERS)]
    fences: list[int] = []
    for number in range(1, ROUNDS + 1):
        heard = _at_once(racers)
        winners = [(racer, answer) for racer, answer in zip(racers, heard, strict=True) if answer.ok]
        losers = [answer for answer in heard if not answer.ok]
        clean = all(answer.code == "held" and answer.error.get("retry_after_seconds") for answer in losers)
        if not account.step(
            f"round {number}: one of {RACERS} wins, the others are told who holds it",
            len(winners) == 1 and clean,
            f"{winners[0][0].name if winners else 'nobody'} with fence {winners[0][1]['fence'] if winners else '-'}, "
            f"{sum(answer.code == 'held' for answer in losers)} held",
        ):
            return
        winner, won = winners[0]
        fences.append(int(won["fence"]))
        winner.call("release_lock", key=_LANE, fence=won["fence"])
    rising = all(before < after for before, after in pairwise(fences))
    account.step("fences rise strictly, so a late write of an earlier owner shows", rising, str(fences))


def _at_once(racers: Sequence[Player]) -> list[Heard]:
    heard: list[Heard] = [Heard(0, {})] * len(racers)
    start = threading.Barrier(len(racers))

    def run(position: int, racer: Player) -> None:
        start.wait(30)
        try:
            heard[position] = racer.call("acquire_lock", key=_LANE, ttl_seconds=60, reason="deploy to staging")
        except OSError as error:
            heard[position] = Heard(0, {"error": {"code": "no_answer", "message": str(error)}})

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return heard


def destroy(stage: Stage, account: Account) -> None:
    """A destructive command is refused with its reason and what to do instead; a harmless one is not."""
    account.act("A destructive command", "refused with rule, reason and what to do instead")
    agent = stage.agents["trust-2"]
    heard = agent.call("check_guardrails", operation_text=_DESTRUCTIVE, cwd="/srv/app")
    found: dict[str, Any] = next(iter(heard["violations"] or ()), {})
    account.step(
        f"`{_DESTRUCTIVE}` is blocked, with its rule, reason and alternative",
        heard["verdict"] == "block" and not heard["safe"] and bool(found.get("reason") and found.get("alternative")),
        f"{found.get('rule_id')}: {found.get('reason')} Instead: {found.get('alternative')}",
    )
    harmless = agent.call("check_guardrails", operation_text=_INSTEAD, cwd="/srv/app")
    account.step(f"`{_INSTEAD}` passes", bool(harmless["safe"]), str(harmless["verdict"]))
    done = stage.command("check", "git push --force origin main")
    account.step(
        "`guardhouse check` says the same with exit status 20", done.returncode == 20, f"exit {done.returncode}"
    )


def approve(stage: Stage, account: Account) -> None:
    """A question is asked once, answered by the operator, and serves once."""
    account.act("An approval", "asked once, granted by a person, served once")
    agent = stage.agents["trust-2"]
    asked = agent.call("check_guardrails", operation_text=_ASKING)
    again = agent.call("check_guardrails", operation_text=_ASKING)
    question = str(asked["approval_id"] or "")
    account.step(
        f"`{_ASKING}` needs a person, and asking twice opens one question",
        asked["verdict"] == "ask" and bool(question) and question == again["approval_id"],
        question or asked.code,
    )
    own = agent.call("grant_approval", approval_id=question)
    account.step("the agent cannot answer itself", not own.ok, own.code)
    granted = stage.operator.call("grant_approval", approval_id=question, reason="the release is planned")
    account.step("the operator grants it", granted.ok and granted["state"] == "granted", granted.message or "granted")
    used = agent.call("check_guardrails", question, operation_text=_ASKING)
    account.step("with the grant the command may run", bool(used["safe"]), str(used["verdict"]))
    spent = agent.call("check_guardrails", question, operation_text=_ASKING)
    account.step(
        "the grant served once; the second time it is refused",
        spent["safe"] is False,
        f"{spent['verdict']}, the grant is {agent.call('get_approval', approval_id=question)['state']}",
    )


def suspend(stage: Stage, account: Account) -> None:
    """A suspension binds the very next call, and a reinstatement too."""
    account.act("A suspension", "binds the very next call, and so does its end")
    agent = stage.agents["trust-3"]
    before = agent.call("check_locks")
    ordered = stage.operator.call("suspend_agent", agent_id=agent.id, reason="it acted strangely")
    after = agent.call("check_locks")
    account.step(
        "the very next call of a suspended agent is refused",
        before.ok and ordered.ok and after.status == 403,
        f"{before.code}, then {after.code}",
    )
    lifted = stage.operator.call("reinstate_agent", agent_id=agent.id, reason="it was a misunderstanding")
    back = agent.call("check_locks")
    account.step("reinstated, it works on at once", lifted.ok and back.ok, back.code)
