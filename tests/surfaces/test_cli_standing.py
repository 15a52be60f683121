"""The nouns of standing over a real gateway: people, tokens, agents, workspaces and modes, on both databases."""

from __future__ import annotations

import pytest

from guardhouse.surfaces.cli import exits, operator
from tests.surfaces.terminal import Desk


def test_a_name_that_nobody_bears_is_told_with_the_next_step(desk: Desk) -> None:
    for arguments in (
        ("agents", "suspend", "nobody"),
        ("people", "disable", "nobody"),
        ("tokens", "issue", "nobody"),
        ("mode", "observe", "agent", "nobody"),
    ):
        done = desk.run(*arguments, expect=exits.USAGE)
        assert "`nobody`" in done.err
        assert "list` show" in done.err
        assert not done.out


def test_people_are_added_listed_and_disabled_by_name(desk: Desk) -> None:
    added = desk.json("people", "add", "ada", "--role", "operator", "--role", "auditor")
    assert added["token"].startswith("gdh_person_")
    listed = desk.run("people", "list").out
    assert "ada" in listed
    assert added["token"] not in listed
    assert desk.json("people", "list", token=added["token"])["people"]

    told = desk.run("people", "disable", "ada", "--reason", "left")
    assert "1 of their tokens" in told.out
    refused = desk.run("people", "list", token=added["token"], expect=exits.REFUSED)
    assert not refused.out
    again = desk.run("people", "disable", added["person_id"], expect=exits.REFUSED)
    assert "already_disabled" in again.err


def test_the_last_operator_stays(desk: Desk) -> None:
    mine = desk.json("people", "list")["people"]
    olga = next(person for person in mine if person["name"] == "olga")
    done = desk.run("people", "disable", "olga", "--json", expect=exits.REFUSED)
    assert done.json["error"]["code"] == "last_operator"
    assert done.json["error"]["decision_id"].startswith("dec_")
    assert olga["roles"] == ["auditor", "operator", "security"]


def test_tokens_are_issued_by_name_rotated_and_revoked(desk: Desk) -> None:
    agent = desk.agent("tokens-one")
    issued = desk.json("tokens", "issue", "tokens-one", "--label", "second", "--session")
    assert desk.json("call", "get_my_profile", token=issued["token"])
    assert "second" in desk.run("tokens", "list", "tokens-one").out
    listed = desk.json("tokens", "list", agent["agent_id"])["tokens"]
    assert [token["label"] for token in listed] == ["", "second"]

    rotated = desk.json("tokens", "rotate", issued["token_id"])
    assert rotated["token"] != issued["token"]
    desk.run("tokens", "revoke", rotated["token_id"], "--reason", "leaked")
    told = desk.json("call", "get_my_profile", token=rotated["token"], expect=exits.REFUSED)
    assert told["error"]["code"] == "unauthenticated" or "revoked" in told["error"]["code"]


def test_rotating_ones_own_token_keeps_the_new_one_in_its_place(desk: Desk) -> None:
    path = operator.token_file(desk.home)
    before = path.read_text().strip()
    done = desk.run("tokens", "rotate")
    after = path.read_text().strip()
    assert after != before
    assert path.stat().st_mode & 0o777 == 0o600
    assert after not in done.out
    desk.run("people", "list")
    # A token that was given deliberately is not the file's, so the file stays.
    agent = desk.agent("rotates-itself")
    assert "gdh_agent_" in desk.run("tokens", "rotate", token=agent["token"]).out
    assert path.read_text().strip() == after


def test_a_name_of_an_agent_and_a_person_must_be_told_apart(desk: Desk) -> None:
    agent = desk.agent("twin")
    person = desk.json("people", "add", "twin", "--role", "auditor")
    done = desk.run("tokens", "issue", "twin", expect=exits.USAGE)
    assert agent["agent_id"] in done.err
    assert person["person_id"] in done.err
    assert desk.json("tokens", "issue", person["person_id"])["principal_id"] == person["person_id"]


def test_agents_are_governed_by_handle_and_by_id(desk: Desk) -> None:
    agent = desk.agent("governed")
    token = agent["token"]
    lock = ("call", "acquire_lock", "key=res:governed", "ttl_seconds=60")
    desk.run(*lock, token=token)

    assert desk.json("agents", "trust", "governed", "1", "--reason", "on trial")["previous_trust"] == 2
    desk.run(*lock, token=token, expect=exits.REFUSED)
    desk.run("agents", "trust", agent["agent_id"], "2")

    assert "paused until" in desk.run("agents", "pause", "governed", "--for", "30m").out
    held = desk.run(*lock, token=token, expect=exits.PENDING)
    assert "try again in" in held.err
    shown = next(line for line in desk.run("agents", "list").out.splitlines() if "governed" in line)
    assert "paused until" in shown
    desk.run("agents", "resume", "governed")
    assert "not_paused" in desk.run("agents", "resume", "governed", expect=exits.REFUSED).err

    for verb in ("suspend", "stop"):
        desk.run("agents", verb, "governed", "--reason", "review")
        desk.run(*lock, token=token, expect=exits.REFUSED)
        assert desk.json("agents", "reinstate", agent["agent_id"])["lifted"] == 1
        desk.run("call", "get_my_profile", token=token)

    retired = desk.run("agents", "retire", "governed", "--reason", "done").out
    assert "1 locks released" in retired
    assert "governed" not in desk.run("agents", "list").out
    assert "retired" in desk.run("agents", "list", "--retired").out


def test_a_list_says_that_it_goes_on_and_goes_on(desk: Desk) -> None:
    for handle in ("page-a", "page-b", "page-c"):
        desk.agent(handle)
    first = desk.json("agents", "list", "--limit", "1")
    assert first["more"] is True
    told = desk.run("agents", "list", "--limit", "1")
    assert f"--after {first['next']}" in told.err
    second = desk.json("agents", "list", "--limit", "1", "--after", first["next"])
    assert second["agents"][0]["handle"] > first["agents"][0]["handle"]


def test_an_agent_may_not_govern_through_the_command_line(desk: Desk) -> None:
    agent = desk.agent("usurper", trust=4)
    for arguments in (("people", "list"), ("tokens", "issue", agent["agent_id"]), ("mode", "observe", "workspace")):
        told = desk.json(*arguments, token=agent["token"], expect=exits.REFUSED)
        assert told["error"]["code"] == "people_only"


def test_workspaces_are_created_and_set(desk: Desk) -> None:
    made = desk.json("workspaces", "create", "payments", "--person", "pia")
    assert [one["name"] for one in desk.json("people", "list", token=made["token"])["people"]] == ["pia"]
    assert "payments" in desk.run("workspaces", "list").out
    settled = desk.json("workspaces", "set", "--grant", "30m", "--pending", "12h", "--single-person")
    assert (settled["approval_grant_seconds"], settled["approval_pending_seconds"]) == (1800, 43_200)
    assert settled["single_person"] is True
    assert desk.json("workspaces", "set", "--two-persons")["approval_grant_seconds"] == 1800
    assert "slug_taken" in desk.run("workspaces", "create", "payments", "--person", "pia", expect=exits.REFUSED).err
    desk.run("workspaces", "set", "--grant", "soon", expect=exits.USAGE)


def test_a_workspace_is_paused_stopped_and_resumed(desk: Desk) -> None:
    agent = desk.agent("bystander")
    lock = ("call", "acquire_lock", "key=res:bystander", "ttl_seconds=60")
    for arguments in (("pause", "--for", "10m"), ("stop", "--reason", "leak")):
        desk.run("workspaces", *arguments)
        desk.run(*lock, token=agent["token"], expect=exits.PENDING)
        desk.run("workspaces", "resume")
        desk.run(*lock, token=agent["token"])
    desk.run("workspaces", "stop", expect=exits.USAGE)


def test_a_mode_observes_for_a_while_and_ends(desk: Desk) -> None:
    agent = desk.agent("watched")
    assert "everything is enforced" in desk.run("mode", "show").out
    command = ("check", "git push --force origin main", "--json")
    assert desk.run(*command, token=agent["token"], expect=exits.BLOCK).json["enforced"] is True

    desk.run("mode", "observe", "agent", "watched", "--for", "2h", "--reason", "try [bold]it[/bold]")
    shown = desk.run("mode", "show").out
    assert "watched" in shown
    assert "try [bold]it[/bold]" in shown, "what people write is not markup"
    assert desk.run(*command, token=agent["token"], expect=exits.BLOCK).json["enforced"] is False

    assert desk.json("mode", "enforce", "agent", agent["agent_id"])["mode"] == "enforce"
    assert desk.json("mode", "show")["modes"] == []
    assert len(desk.json("mode", "show", "--ended")["modes"]) == 1
    assert "not_observed" in desk.run("mode", "enforce", "agent", "watched", expect=exits.REFUSED).err
    assert "always_binds" in desk.run("mode", "observe", "pack", "guardhouse", expect=exits.REFUSED).err


@pytest.mark.parametrize(
    "arguments",
    [
        ("mode", "observe", "pack"),
        ("mode", "observe", "everything"),
        ("mode", "observe", "workspace", "--for", "0s"),
        ("agents", "trust", "watched", "5"),
        ("people", "add", "zoe"),
        ("people", "add", "zoe", "--role", "king"),
        ("approvals", "list", "--state", "open"),
        ("approvals", "refuse", "apr_1"),
        ("nonsense",),
        (),
    ],
)
def test_what_cannot_be_understood_is_usage(desk: Desk, arguments: tuple[str, ...]) -> None:
    done = desk.run(*arguments, expect=exits.USAGE)
    assert done.err or not arguments


@pytest.mark.parametrize(("span", "says"), [("61d", "too long"), ("30s", "too short"), ("30d1s", "too long")])
def test_a_mode_for_too_long_names_the_option_and_its_limit(desk: Desk, span: str, says: str) -> None:
    done = desk.run("mode", "observe", "workspace", "--for", span, expect=exits.USAGE)
    assert done.err == f"guardhouse: `--for {span}` is {says}: observing lasts 1m to 30d\n"
    assert desk.json("mode", "observe", "workspace", "--for", span, expect=exits.USAGE)["error"]["code"] == "validation"


def test_a_mode_for_a_role_that_nobody_has_names_those_there_are(desk: Desk) -> None:
    desk.json("agents", "add", "roled", "--trust", "1", "--role", "night-watch")
    done = desk.run("mode", "observe", "role", "nightwatch", expect=exits.USAGE)
    assert "no agent has the role `nightwatch`" in done.err
    assert "`night-watch`" in done.err
