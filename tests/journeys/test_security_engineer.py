"""A security engineer changes the law: checks it, puts it in force, sees its effect, and takes it back."""

from __future__ import annotations

from pathlib import Path

from guardhouse.bundle.load import read_directory
from tests.journeys.conftest import House

LANE = {"key": "res:deploy/production"}
POLICY = """\
@id("site.production")
@effect("approval")
@advice("name the release in the reason")
forbid (principal is Agent, action == Action::"acquire_lock", resource == Lock::"res:deploy/production");
"""

LISTS = """\
allow:
  - id: site.net
    why: our own services
    domains: ["*.example.net"]
deny:
  - id: site.evil
    why: not that one
    domains: [evil.example.net]
"""


def uploaded(site: Path) -> dict[str, str]:
    return {name: data.decode() for name, data in read_directory(site).items()}


def test_a_policy_change(house: House, site: Path) -> None:
    security = house.person("sam", "security")
    auditor = house.person("ada", "auditor")
    builder = house.agent("builder")
    first = house.done(security, "policy_history")["activations"][0]
    house.done(builder.token, "acquire_lock", LANE)
    house.done(builder.token, "release_lock", LANE)

    # A fault names its file and line, loads nothing, and what is in force stays.
    (site / "cedar" / "site.cedar").write_text(POLICY.replace("acquire_lock", "aquire_lock"))
    status, refused = house.call(security, "activate_policy", {"files": uploaded(site)})
    assert (status, refused["error"]["code"]) == (422, "invalid_bundle")
    assert "cedar/site.cedar:1" in [fault["field"] for fault in refused["error"]["fields"]]
    assert house.done(security, "policy_history")["activations"][0]["digest"] == first["digest"]

    # Only security people put a law in force; saving a file changes nothing.
    (site / "cedar" / "site.cedar").write_text(POLICY)
    house.done(builder.token, "acquire_lock", LANE)
    house.done(builder.token, "release_lock", LANE)
    law = {"files": uploaded(site), "note": "production needs a person"}
    assert house.refused(auditor, "activate_policy", law)[0] == 403
    assert house.refused(builder.token, "activate_policy", law) == (403, "people_only")
    active = house.done(security, "activate_policy", law)
    assert (active["changed"], active["previous_digest"]) == (True, first["digest"])

    # It binds the very next call, says what the law advises, and the entry names law and rule.
    status, held = house.call(builder.token, "acquire_lock", LANE)
    assert (status, held["error"]["code"]) == (202, "approval_pending")
    assert "name the release in the reason" in str(held)
    entry = house.entry(held["decision_id"])
    assert (entry["bundle"], entry["effect"]) == (active["digest"], "hold")
    assert "site.production" in str(entry["steps"])
    question = held["approval_id"]
    assert house.call(builder.token, "acquire_lock", LANE)[1]["approval_id"] == question
    house.done(security, "grant_approval", {"approval_id": question})
    house.done(builder.token, "acquire_lock", LANE)  # the grant is found by itself
    house.done(builder.token, "release_lock", LANE)
    spent = house.refused(builder.token, "acquire_lock", LANE, Guardhouse_Approval=question)
    assert spent[1] == "approval_spent"

    # A grant under one law is stale under another; the way back is one call.
    status, second = house.call(builder.token, "acquire_lock", LANE)
    assert (status, second["approval_id"] != question) == (202, True)
    back = house.done(security, "rollback_policy", {"note": "not this week"})
    assert back["digest"] == first["digest"]
    house.done(builder.token, "acquire_lock", LANE)
    house.done(builder.token, "release_lock", LANE)
    assert house.refused(security, "grant_approval", {"approval_id": second["approval_id"]})[1] == "approval_stale"
    history = house.done(auditor, "policy_history")["activations"]
    assert [one["digest"] for one in history] == [first["digest"], active["digest"], first["digest"]]
    assert house.done(auditor, "show_policy", {"digest": active["digest"]})["files"]["cedar/site.cedar"] == POLICY


def test_a_network_list_of_the_site(house: House, site: Path) -> None:
    security, builder = house.person("sam", "security"), house.agent("builder")
    asked = {"destination": "https://api.example.net/v1"}
    assert house.done(builder.token, "check_network", asked)["effect"] == "deny"
    (site / "network" / "site.yaml").write_text(LISTS)
    house.done(security, "activate_policy", {"files": uploaded(site)})
    assert house.done(builder.token, "check_network", asked)["rule"] == "site.net"
    for other in ("example.net", "evil.example.net", "EVIL.Example.net.", "xexample.net"):
        assert house.done(builder.token, "check_network", {"destination": other})["effect"] == "deny", other
