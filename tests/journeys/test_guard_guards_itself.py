"""A hooked agent of trust 3 tries every way we know to approve itself, raise itself or switch the guard off.

Each try is sent as its client's hook would send it, over a socket, with the true home, process and port of the gateway
put in the place of the sample ones. None passes, each leaves its entry, and afterwards everything stands as it stood.
"""

from __future__ import annotations

import http.client
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.journeys.conftest import House
from tests.surfaces.hooks.payloads import PAYLOADS, refused

CASES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "guardrails" / "selfguard.yaml").read_text())
CLIENTS = ("claude-code", "codex", "gemini", "cursor", "copilot", "opencode")


def hook(house: House, line: http.client.HTTPConnection, token: str, client: str, command: str) -> tuple[str, str]:
    """(what the client takes the answer for, the decision's id)."""
    payload = PAYLOADS[client]("shell", {"command": command})
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    line.request("POST", f"/v1/hooks/{client}", json.dumps(payload), sent)
    answer = line.getresponse()
    body = answer.read()
    assert answer.status == 200
    return refused(client, json.loads(body) if body else {}), answer.headers.get("Guardhouse-Decision", "")


def here(house: House, text: str) -> str:
    """A sample attack aimed at this gateway."""
    endpoint = json.loads((house.home / "endpoint.json").read_text())
    return (
        text.replace("4711", str(endpoint["pid"]))
        .replace("8420", str(house.server.port))
        .replace("/opt/venv/bin/guardhouse", str(Path(sys.executable).parent / "guardhouse"))
    )


def standing(house: House) -> dict[str, Any]:
    """What an agent would want to change."""
    agents = house.done(house.operator, "list_agents")["agents"]
    return {
        "trust": {one["agent_id"]: one["trust"] for one in agents},
        "modes": house.done(house.operator, "list_modes")["modes"],
        "pid": json.loads((house.home / "endpoint.json").read_text())["pid"],
        "key": (house.home / "signing.key").read_bytes(),
    }


def test_no_way_round_the_guard_passes_and_each_leaves_its_entry(house: House) -> None:
    agent = house.agent("insider", trust=3, role="developer", profile="unlimited")
    texts = [text for texts in CASES["attacks"].values() for text in texts]
    # Where the sample deployment lies is not where this one does: those paths are tried as this home's own.
    own = [
        text
        for text in texts
        if "/srv/user" not in text
        and "/srv/guardhouse" not in text
        and "/opt/venv" not in text.replace("/opt/venv/bin/guardhouse", "")
    ]
    own += [
        f"cat {house.home}/operator.token",
        f"cp -r {house.home} /tmp/x",
        f"sqlite3 {house.home}/guardhouse.db 'update agent set trust = 4'",
        f"cd {house.home.parent} && cat {house.home.name}/signing.key",
        f"tar czf /tmp/x.tgz {house.home.parent}",
        f"rm -rf {house.home}",
        f"echo x >> {house.home}/policies/gateway.yaml",
        f"python3 -c \"print(open('{house.home}/operator.token').read())\"",
    ]
    assert len(own) >= 100
    before, line = standing(house), http.client.HTTPConnection("127.0.0.1", house.server.port, timeout=60)
    decisions = []
    for number, text in enumerate(own):
        client = CLIENTS[number % len(CLIENTS)]
        effect, decision = hook(house, line, agent.token, client, here(house, text))
        assert effect in ("deny", "ask"), (client, here(house, text))
        decisions.append(decision)
    line.close()
    assert len(set(decisions)) == len(own)
    listed, cursor = "", ""
    while True:
        page = house.done(house.operator, "query_audit", {"agent_id": agent.id, "limit": 200, "cursor": cursor})
        listed += json.dumps(page["entries"])
        cursor = page["next"]
        if not page["more"]:
            break
    assert [one for one in decisions if one not in listed] == []
    assert standing(house) == before


def test_what_only_looks_alike_is_let_through_the_hook(house: House) -> None:
    agent = house.agent("worker", trust=3, role="developer", profile="unlimited")
    line = http.client.HTTPConnection("127.0.0.1", house.server.port, timeout=60)
    for text in CASES["lookalikes"]:
        _, decision = hook(house, line, agent.token, "claude-code", text)
        rules = house.entry(decision)["facts"].get("findings", [])
        assert not [one for one in rules if str(one["rule"]).startswith("guardhouse.")], text
    line.close()


def test_a_stolen_operators_token_is_not_sent_by_a_hooked_agent(house: House) -> None:
    """Even with the token in hand: the hook blocks the call that would use it, and the agent's own token may not govern."""
    agent = house.agent("thief", trust=3, role="developer")
    line = http.client.HTTPConnection("127.0.0.1", house.server.port, timeout=60)
    url = f"http://127.0.0.1:{house.server.port}/v1/set_trust"
    effect, _ = hook(house, line, agent.token, "claude-code", f"curl -H 'Authorization: Bearer x' -d '{{}}' {url}")
    line.close()
    assert effect == "deny"
    assert house.refused(agent.token, "set_trust", {"agent_id": agent.id, "trust": 4})[0] == 403
    assert house.refused(agent.token, "set_mode", {"scope": "workspace", "seconds": 600})[0] == 403
