"""Questions at the terminal: seen with what they are about, granted, refused and watched, on both databases."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from guardhouse.surfaces.cli import exits
from tests.surfaces.terminal import Desk

PUBLISH = "npm publish --tag latest"


def ask(desk: Desk, agent: dict[str, Any], text: str = PUBLISH) -> str:
    """An agent asks; the question's id."""
    done = desk.run("check", text, "--json", token=agent["token"], expect=exits.ASK)
    assert done.json["approval_id"]
    return str(done.json["approval_id"])


def test_a_question_is_seen_with_its_call_granted_and_spent(desk: Desk) -> None:
    agent = desk.agent("asker")
    asked = ask(desk, agent)
    listed = desk.run("approvals", "list", "--agent", "asker").out
    assert asked in listed
    assert "asker" in listed
    shown = desk.run("approvals", "show", asked).out
    assert PUBLISH in shown, "a person sees what a grant allows"
    told = desk.json("approvals", "show", asked)
    assert told["call"]["operation_text"] == PUBLISH
    assert told["held_decision_id"] != told["decision_id"]

    assert "usable until" in desk.run("approvals", "grant", asked, "--reason", "release").out
    desk.run("check", PUBLISH, "--approval", asked, token=agent["token"])
    assert desk.json("approvals", "show", asked)["state"] == "spent"
    assert "already_decided" in desk.run("approvals", "grant", asked, expect=exits.REFUSED).err
    assert [one["approval_id"] for one in desk.json("approvals", "list", "--state", "spent")["approvals"]] == [asked]


def test_a_refused_question_stays_refused(desk: Desk) -> None:
    agent = desk.agent("refused")
    asked = ask(desk, agent)
    assert desk.json("approvals", "refuse", asked, "--reason", "use a branch")["state"] == "refused"
    assert "use a branch" in desk.run("approvals", "show", asked).out


def test_what_agents_write_cannot_paint_the_terminal(desk: Desk) -> None:
    agent = desk.agent("painter")
    asked = ask(desk, agent, "npm publish \x1b[2Jgranted\rnothing [green]safe[/green]")
    shown = desk.run("approvals", "show", asked).out
    assert "\\x1b[2J" in shown
    assert "\r" not in shown
    assert "[green]" in shown
    desk.run("approvals", "refuse", asked, "--reason", "no")


def test_nobody_may_read_or_decide_with_an_agents_token(desk: Desk) -> None:
    agent = desk.agent("grants-itself", trust=4)
    desk.run("approvals", "list", token=agent["token"], expect=exits.REFUSED)
    other = desk.agent("asks-first")
    asked = ask(desk, other)
    desk.run("approvals", "show", asked, token=agent["token"], expect=exits.USAGE)
    desk.run("approvals", "grant", asked, token=agent["token"], expect=exits.REFUSED)
    assert desk.json("approvals", "show", asked)["state"] == "pending"
    desk.run("approvals", "refuse", asked, "--reason", "no")


def test_watching_tells_of_what_waits_and_of_what_comes(desk: Desk) -> None:
    agent = desk.agent("watched-asker")
    waits = ask(desk, agent, "npm publish one")
    watch = subprocess.Popen(
        [sys.executable, "-m", "guardhouse", "approvals", "watch", "--every", "0.1", "--count", "2", "--json"],
        env=desk.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["approval_id"] == waits
        comes = ask(desk, agent, "npm publish two")
        assert json.loads(watch.stdout.readline())["approval_id"] == comes
        assert watch.wait(30) == exits.OK
        assert watch.stdout.read() == ""
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()
    for asked in (waits, comes):
        desk.run("approvals", "refuse", asked, "--reason", "no")
    assert "nobody asks anything" in desk.run("approvals", "list").out
