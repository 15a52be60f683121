"""A hook's denial that no person's click undoes, and what each denial says a person can run: that command is run, and the tool passes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guardhouse.guardrails.reasons import MOST_REASON
from guardhouse.model.answer import Outcome
from guardhouse.surfaces.hooks import clients, repairs
from tests.server import guardhouse
from tests.surfaces.hooks.payloads import ACCEPTED, GIVEN, PAYLOADS, accepted, refused
from tests.surfaces.hooks.test_hooks import Hooked
from tests.world import shipped_bundle

CLIENTS = tuple(PAYLOADS)
BRANCH = {client: {"command": f"git push --delete origin old-{client}"} for client in CLIENTS}
HOLD = """@id("house.held")
@effect("approval")
@why("somebody of this house looks at it first")
forbid (principal, action == Action::"check_tool", resource);
"""


@pytest.fixture(scope="module")
def hooked(running_home: tuple[Path, dict[str, str]]) -> Hooked:
    home, env = running_home
    added = json.loads(guardhouse(env, "agents", "add", "denied", "--trust", "2", "--json").stdout)
    port = int(json.loads((home / "endpoint.json").read_text())["address"].rpartition(":")[2])
    return Hooked(home, port, added["token"], added["agent_id"], env)


def law(**more: str) -> dict[str, str]:
    return {path: data.decode() for path, data in shipped_bundle().files.items()} | more


_DIGESTS: dict[tuple[int, str], str] = {}
"""Of each law that a gateway, known by its port, has had in force: named by it, the law is not uploaded again."""


@contextmanager
def in_force(hooked: Hooked, **more: str) -> Iterator[None]:
    known = (hooked.port, json.dumps(more, sort_keys=True))
    source = {"digest": _DIGESTS[known]} if known in _DIGESTS else {"files": law(**more)}
    done = hooked.operate("activate_policy", **source)
    assert done["changed"]
    _DIGESTS[known] = done["digest"]
    try:
        yield
    finally:
        hooked.operate("activate_policy", digest=done["previous_digest"])


def run(hooked: Hooked, reason: str) -> None:
    """Run the command that a reason names for a person, as it stands there."""
    program, *arguments = shlex.split(reason.split("`")[-2])
    assert program == "guardhouse"
    guardhouse(hooked.env, *arguments)


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_person_refused_is_denied_and_never_asked_again_in_the_client(hooked: Hooked, client: str) -> None:
    payload = PAYLOADS[client]("shell", BRANCH[client])
    first = hooked.told(client, payload)
    assert refused(client, first) in ("ask", "deny")
    waiting = hooked.operate("list_approvals", state="pending")["approvals"]
    guardhouse(hooked.env, "approvals", "refuse", waiting[0]["approval_id"], "--reason", "no")
    told = hooked.told(client, payload)
    assert refused(client, told) == "deny", told
    assert "said no: report it as blocked" in json.dumps(told)
    assert waiting[0]["approval_id"] in json.dumps(told)
    assert accepted(ACCEPTED[client], told)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_policys_question_is_answered_by_its_approver_and_not_at_the_client(hooked: Hooked, client: str) -> None:
    payload = PAYLOADS[client]("shell", {"command": f"make {client}"})
    assert hooked.told(client, payload) in ({}, {"decision": "allow"}), "and opens the client's session"
    with in_force(hooked, **{"cedar/house.cedar": HOLD}):
        told = hooked.told(client, payload)
        assert refused(client, told) == "deny", told
        assert accepted(ACCEPTED[client], told)
        reason = str(_reason(told))
        assert len(reason) <= MOST_REASON
        assert "`guardhouse approvals grant apr_" in reason
        run(hooked, reason)
        assert hooked.told(client, payload) in ({}, {"decision": "allow"})


def _reason(told: Any) -> str:
    """The longest text of an answer."""
    if isinstance(told, dict):
        return max((_reason(part) for part in told.values()), key=len, default="")
    return str(told)


@pytest.mark.parametrize("client", ["claude-code", "opencode"])
@pytest.mark.parametrize(
    ("order", "more"),
    [
        ("suspend_agent", {}),
        ("stop_agent", {}),
        ("pause_agent", {"seconds": 600}),
        ("set_trust", {"trust": 0}),
        ("pause_workspace", {"seconds": 600}),
        ("stop_workspace", {}),
    ],
)
def test_what_lifts_an_order_is_named_and_lifts_it(
    hooked: Hooked, client: str, order: str, more: dict[str, Any]
) -> None:
    agent = hooked.operate("add_agent", handle=f"{client}-{order}".replace("_", "-"), trust=2)
    payload = PAYLOADS[client]("shell", GIVEN["shell.allow"])
    assert refused(client, hooked.told(client, payload, agent["token"])) == ""
    whom = {} if order.endswith("workspace") else {"agent_id": agent["agent_id"]}
    hooked.operate(order, reason="a test of it", **whom, **more)
    told = hooked.told(client, payload, agent["token"])
    assert refused(client, told) == "deny"
    reason = _reason(told)
    assert len(reason) <= MOST_REASON
    assert "This is a decision, not a fault" in reason
    run(hooked, reason)
    assert refused(client, hooked.told(client, payload, agent["token"])) == ""


def test_a_sub_agent_is_let_go_on_where_the_order_stands(hooked: Hooked) -> None:
    """Its agent was suspended: to reinstate the sub-agent would change nothing."""
    agent = hooked.operate("add_agent", handle="above", trust=2)
    payload = PAYLOADS["claude-code"]("shell", GIVEN["shell.allow"]) | {"agent_id": "a1", "agent_type": "explore"}
    assert hooked.told("claude-code", payload, agent["token"]) == {}
    for order, more in (("suspend_agent", {}), ("set_trust", {"trust": 0})):
        hooked.operate(order, agent_id=agent["agent_id"], reason="a test of it", **more)
        reason = _reason(hooked.told("claude-code", payload, agent["token"]))
        assert " above" in reason.split("`")[-2]
        run(hooked, reason)
        assert hooked.told("claude-code", payload, agent["token"]) == {}


def test_a_host_that_no_list_names_is_named_with_where_it_would_be_listed(hooked: Hooked) -> None:
    reason = _reason(hooked.told("claude-code", PAYLOADS["claude-code"]("fetch", GIVEN["fetch.deny"])))
    assert "list exfil.example.net under `allow:` in `policies/network/*.yaml`" in reason
    assert "`guardhouse policy activate policies`" in reason
    reason = _reason(hooked.told("claude-code", PAYLOADS["claude-code"]("fetch", {"url": "http://169.254.169.254/x"})))
    assert "take 169.254.169.254 out of rule `net.metadata`" in reason


def test_what_a_policy_forbids_is_explained_by_the_command_it_names(hooked: Hooked) -> None:
    never = HOLD.replace('@effect("approval")\n', "")
    with in_force(hooked, **{"cedar/house.cedar": never}):
        reason = _reason(hooked.told("claude-code", PAYLOADS["claude-code"]("shell", GIVEN["shell.allow"])))
        named = reason.split("`")[-2]
        assert named.startswith("guardhouse why dec_")
        assert "house.held" in guardhouse(hooked.env, *shlex.split(named)[1:]).stdout


@pytest.mark.parametrize("client", clients.CLIENTS)
def test_a_reason_is_within_its_length_however_long_its_parts_are(client: str) -> None:
    for code, error in (
        ("policy_forbidden", {}),
        ("network_denied", {"domain": "a" * 253}),
        ("network_denied", {"domain": "a" * 253, "rule": "r" * 100}),
        ("agent_suspended", {"subject": "agt_1", "subject_alias": "h" * 64}),
        ("approval_pending", {"approval_id": "apr_1"}),
        ("c" * 300, {}),
    ):
        reason = repairs.denied(Outcome(code, "why " * 500, decision_id="dec_" + "0" * 26, error=error))
        assert len(reason) <= MOST_REASON
        assert reason.count("`") % 2 == 0, "a command is told whole"
        assert clients.answer(client, "PreToolUse", "block", reason)


def test_the_reports_line_for_a_host_lets_that_host_through_once_it_is_listed(hooked: Hooked) -> None:
    """Two hosts are two rows; each line is pasted as it is printed, and put in force."""
    agent = hooked.operate("add_agent", handle="reads-the-web", trust=2)
    hosts = ("one.example.net", "two.example.net")
    hooked.operate("set_mode", scope="agent", id=agent["agent_id"], seconds=600, reason="trial")
    for host in (*hosts, "two.example.net", "169.254.169.254"):
        payload = PAYLOADS["codex"]("fetch", {"url": f"https://{host}:8443/x"})
        assert hooked.told("codex", payload, agent["token"]) == {}
    hooked.operate("end_mode", scope="agent", id=agent["agent_id"])
    told = json.loads(guardhouse(hooked.env, "report", "--since", "1h", "--json").stdout)["rows"]
    rows = {one["host"]: one for one in told if one["agent"] == "reads-the-web"}
    assert {host: one["count"] for host, one in rows.items()} == {hosts[0]: 1, hosts[1]: 2, "169.254.169.254": 1}
    assert "take 169.254.169.254 out of `net.metadata`" in rows["169.254.169.254"]["exempt"]
    shown = guardhouse(hooked.env, "report", "--since", "1h").stdout
    before = "  exempt under `allow:` in policies/network/default.yaml: "
    pasted = [line.removeprefix(before) for line in shown.splitlines() if line.startswith(before)]
    for host in hosts:
        assert refused("codex", hooked.told("codex", PAYLOADS["codex"]("fetch", {"url": f"https://{host}/"}))) == "deny"
        assert rows[host]["exempt"] in pasted
    lists = law()["network/default.yaml"]
    more = "".join(f"  {rows[host]['exempt']}\n" for host in hosts)
    with in_force(hooked, **{"network/default.yaml": lists.replace("allow:\n", f"allow:\n{more}", 1)}):
        for host in hosts:
            assert refused("codex", hooked.told("codex", PAYLOADS["codex"]("fetch", {"url": f"https://{host}/"}))) == ""
