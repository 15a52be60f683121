"""The MCP door over streamable HTTP, with the official client, on each database."""

from __future__ import annotations

import pytest

from tests.surfaces.mcp.clients import code_of, over_http, run, text_of
from tests.surfaces.mcp.conftest import Place


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_tool_call_is_a_call_and_a_list_is_none(place: Place, mode: str) -> None:
    agent = place.world.agent("worker")
    before = place.world.count()

    async def work() -> None:
        async with over_http(place.address, agent.token, mode=mode) as client:
            listed = await client.list_tools()
            assert "acquire_lock" in {tool.name for tool in listed.tools}
            assert place.world.count() == before
            taken = await client.call_tool("acquire_lock", {"key": "res:deploy/staging"})
            assert not taken.is_error, text_of(taken)
            assert taken.structured_content is not None
            entry = place.world.entry(taken.structured_content["decision_id"])
            assert (entry["surface"], entry["operation"], entry["outcome"]) == ("mcp", "acquire_lock", "performed")
            assert place.world.count() == before + 1

    run(work)


def test_a_refusal_tells_the_model_what_why_instead_and_next(place: Place) -> None:
    holder, other = place.world.agent("holder"), place.world.agent("other")
    place.world.done(holder, "acquire_lock", {"key": "res:a"})

    async def work() -> None:
        async with over_http(place.address, other.token) as client:
            refused = await client.call_tool("acquire_lock", {"key": "res:a"})
            assert code_of(refused) == "held"
            told = text_of(refused)
            assert told.startswith("`acquire_lock` was not done (held).")
            assert "\nWhy: " in told
            assert "\nInstead: " in told
            assert "\nNext: " in told
            assert " seconds" in told

    run(work)
