"""Files of law are never read because they were saved: not by a server that runs, and not by one that starts again."""

from __future__ import annotations

from pathlib import Path

from guardhouse.storage import private
from guardhouse.surfaces.cli import operator
from tests.journeys.conftest import House, founded
from tests.server import serving

OPEN = '@id("site.all")\npermit (principal, action, resource);\n'
CLOSED = '@id("site.closed")\nforbid (principal is Agent, action == Action::"acquire_lock", resource);\n'
LOCK = {"key": "res:lane"}


def _write(policies: Path, text: str) -> None:
    (policies / "cedar").mkdir(exist_ok=True)
    (policies / "cedar" / "site.cedar").write_text(text)


def _in_force(house: House) -> tuple[str, bool]:
    """The law's digest as an agent's next entry names it, and whether its lock was allowed."""
    agent = house.agent(f"probe-{house.done(house.operator, 'verify_audit')['tree_size']}")
    status, answer = house.call(agent.token, "acquire_lock", LOCK)
    decision = answer["decision_id"] if status == 200 else answer["error"]["decision_id"]
    if status == 200:
        house.done(agent.token, "release_lock", LOCK)
    else:
        assert answer["error"]["code"] == "policy_forbidden"
    return house.entry(decision)["bundle"], status == 200


def test_files_saved_beside_a_running_server_bind_nobody_and_nor_after_a_restart(
    tmp_path: Path, database_url: str
) -> None:
    home = tmp_path / "home"
    env, made = founded(home, database_url)
    private.replaced(operator.token_file(home), made.operator_token)
    policies = home / "policies"
    with serving(env) as server:
        house = House(home, env, server, made.operator_token, made.workspace_id)
        first = _in_force(house)
        assert first[1] is True
        _write(policies, CLOSED)
        assert _in_force(house) == first, "a saved file bound the next call"
        (policies / "gateway.yaml").write_text("engine: [not a law")
        assert _in_force(house) == first
        assert server.stop() == 0
    with serving(env) as server:
        house = House(home, env, server, made.operator_token, made.workspace_id)
        assert _in_force(house) == first, "a saved file bound after a restart, or a broken one kept it from serving"
        (policies / "gateway.yaml").write_text("include: shipped@1\n")
        assert _in_force(house) == first
        house.command("policy", "activate", str(policies))
        second = _in_force(house)
        assert (second[0] != first[0], second[1]) == (True, False)
        _write(policies, OPEN)
        assert _in_force(house) == second
        assert server.stop() == 0
