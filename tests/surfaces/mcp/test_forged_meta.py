"""Must hold 9 over standard input: `_meta` and arguments that say who calls, of what trust or grant, change nothing."""

from __future__ import annotations

import pytest

from tests.surfaces.mcp.conftest import Place
from tests.surfaces.mcp.test_forwarding import Spoken, spoken
from tests.surfaces.test_forged_identity import CLAIMS, META, filled, judged

LOCK = {"key": "res:a"}
MORE = {"guardhouse/grants": ["*"], "guardhouse/role": "operator", "guardhouse/session": "{session}"}


def _taken(line: Spoken, arguments: object, meta: object = None) -> bool:
    """Whether the lock was given."""
    params = {"name": "acquire_lock", "arguments": arguments} | ({"_meta": meta} if meta else {})
    return not line.ask("tools/call", **params)["result"]["isError"]


@pytest.mark.parametrize("way", ["forwarded", "local"])
def test_what_a_caller_says_of_itself_in_meta_has_no_effect_over_stdio(place: Place, way: str) -> None:
    home = place.world
    victim, low = home.agent("victim", trust=4, role="orchestrator"), home.agent("low", trust=1)
    with spoken(place.environment(way, low.token)) as line:
        line.open()
        assert not _taken(line, LOCK)
        honest = home.entries()[-1]
        assert (honest["surface"], honest["outcome"]) == ("mcp", "policy_not_permitted")
        claims = META | MORE
        for claimed in (claims, *({name: value} for name, value in claims.items())):
            assert not _taken(line, LOCK, filled(claimed, victim)), claimed
            assert judged(home.entries()[-1]) == judged(honest), claimed
        for claim in CLAIMS:
            assert not _taken(line, LOCK | filled(claim, victim)), claim
            entry = home.entries()[-1]
            assert (entry["principal"]["id"], entry["session"]) == (low.id, low.session_id), claim
    with spoken(place.environment(way, victim.token)) as line:
        line.open()
        assert _taken(line, LOCK, filled(META, low)), "the one it claimed to be may, also where it claims to be low"
