"""A law that another version of Guardhouse activated goes on binding after an upgrade, and can be left behind."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from guardhouse.app import actions
from guardhouse.bundle import load, versions
from guardhouse.bundle.tables import BUNDLE_VERSION
from guardhouse.errors import LawFault, NotPerformed
from guardhouse.gateway.offer import offered
from guardhouse.gateway.replay import replay
from guardhouse.model.canonical import digest, encode
from guardhouse.operations import CATALOG
from tests.world import World, second_process, shipped_bundle

_SCHEMA = "schema.cedarschema"
_APPLIES = "{ principal: [Agent, Person], resource: [Lock, Workspace], context: Context }"
_PACK = """\
pack: site
category: site
rules:
  - id: site.marker
    pattern: 'wipe-the-lane'
    severity: block
    reason: The lane is needed.
    must_match: {examples}
    must_pass: ['wipe the floor', 'lane']
"""


def _other_version() -> dict[str, bytes]:
    """The shipped files as another version may have had them: an operation fewer, another more, an engine that saw more."""
    files = dict(shipped_bundle().files)
    schema = files[_SCHEMA].decode()
    start = schema.index("action discover_agents ")
    end = schema.index(";", start) + 1
    files[_SCHEMA] = (schema[:start] + schema[end:] + f"\naction fly in [write] appliesTo {_APPLIES};\n").encode()
    files["guardrails/site.yaml"] = _PACK.format(examples="['wipe-the-lane', 'wipe the lane']").encode()
    return files


def _unreadable() -> dict[str, bytes]:
    """Files in a grammar that this version has not."""
    files = dict(shipped_bundle().files)
    pack = _PACK.format(examples="['wipe-the-lane', 'wipe-the-lane now']")
    files["guardrails/site.yaml"] = pack.replace("severity: block", "severity: block\n    banned: true").encode()
    return files


def _name(files: Mapping[str, bytes]) -> str:
    return digest(encode({name: digest(data) for name, data in files.items()}))


def _activated(home: World, files: Mapping[str, bytes]) -> str:
    """Put files in force as the other version did, which could load them."""
    name = _name(files)
    bundle = shipped_bundle()
    with home.store.writing(home.workspace_id) as tx:
        row = encode({path: base64.b64encode(data).decode() for path, data in files.items()})
        tx.execute(
            BUNDLE_VERSION.insert(),
            {"workspace_id": home.workspace_id, "digest": name, "body": row, "stored_at": tx.now},
        )
        versions.activate(tx, home.workspace_id, name, bundle.law, home.operator.id, "")
    return name


def _texts(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: data.decode() for name, data in files.items()}


def test_a_law_of_another_version_is_no_law_of_this_one() -> None:
    with pytest.raises(LawFault) as refused:
        load.load_files(_other_version(), actions())
    told = str(refused.value)
    assert "`discover_agents` is not declared" in told
    assert "`fly` is no operation" in told
    assert "site.marker" in told
    with pytest.raises(LawFault, match="banned"):
        load.load_stored(_unreadable())


def test_a_law_of_another_version_binds_as_it_stands_and_can_be_left_behind(home: World) -> None:
    agent = home.agent("builder")
    older = _activated(home, _other_version())
    with second_process(home) as now:
        taken = now.call(agent, "acquire_lock", {"key": "res:lane"})
        assert taken.code == "performed"
        assert now.entry(taken.decision_id)["bundle"] == older
        assert now.done(agent, "check_guardrails", {"operation_text": "run wipe-the-lane"})["verdict"] == "block"
        unknown = now.call(agent, "discover_agents")
        assert (unknown.code, unknown.decision.effect) == ("policy_error", "deny")
        assert "policy activate" in unknown.message
        assert now.entry(unknown.decision_id)["outcome"] == "policy_error"
        operations = [CATALOG.find(name) for name in ("check_locks", "discover_agents")]
        assert offered(operations, now.gateway.stood(agent.token), "mcp") == ("check_locks",)
        upgraded = now.done(now.operator, "activate_policy", {"files": _texts(shipped_bundle().files)})
        assert upgraded["previous_digest"] == older
        assert now.call(agent, "discover_agents").code == "performed"
        back = now.done(now.operator, "rollback_policy")
        assert back["digest"] == older
        assert now.call(agent, "discover_agents").code == "policy_error"
        assert now.done(now.operator, "activate_policy", {"digest": shipped_bundle().digest})["changed"] is True
        with now.store.reading() as connection:
            replayed = replay(connection, now.workspace_id, versions.BundleCache())
        assert replayed.differences == []
        assert replayed.entries == now.count()


def test_a_law_that_this_version_cannot_read_stops_every_call_and_says_so(home: World) -> None:
    agent = home.agent("builder")
    home.done(agent, "check_locks")
    count = home.count()
    older = _activated(home, _unreadable())
    with second_process(home) as now:
        for who, operation in ((agent, "check_locks"), (now.operator, "rollback_policy")):
            with pytest.raises(NotPerformed, match=r"cannot be read by this version.*site\.yaml"):
                now.call(who, operation)
        with pytest.raises(NotPerformed, match="cannot be read by this version"):
            now.gateway.stood(agent.token)
        assert now.count() == count
    # A gateway that was running when the law came meets it in a train.
    with pytest.raises(NotPerformed, match=r"cannot be read by this version.*site\.yaml"):
        home.call(agent, "check_locks")
    assert home.count() == count
    with home.store.reading() as connection, pytest.raises(LawFault):
        versions.BundleCache().load(connection, home.workspace_id, older)


@pytest.mark.parametrize("operation", ["activate_policy", "rollback_policy"])
def test_a_law_that_this_version_cannot_read_is_not_put_in_force_again(home: World, operation: str) -> None:
    agent = home.agent("builder")
    older = _activated(home, _unreadable())
    with home.store.writing(home.workspace_id) as tx:
        good = shipped_bundle()
        versions.activate(tx, home.workspace_id, good.digest, good.law, home.operator.id, "")
    refused = home.call(home.operator, operation, {"digest": older})
    assert refused.code == "invalid_bundle"
    assert "site.yaml" in refused.message
    assert home.entry(refused.decision_id)["outcome"] == "invalid_bundle"
    again = home.call(home.operator, operation, {"digest": older})
    assert again.code == "invalid_bundle"
    assert home.entry(home.call(agent, "check_locks").decision_id)["bundle"] == shipped_bundle().digest
