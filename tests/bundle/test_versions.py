"""Versions on both databases: kept for ever by digest, activated whole, compiled once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from guardhouse.bundle import versions
from guardhouse.bundle.tables import ACTIVATION
from tests.judging import law

OTHER = law((("playbooks/x.yaml", b"role: x\n"),))


def put(store, *bundles, workspace="wsp_1"):
    for bundle in bundles:
        with store.writing(workspace) as tx:
            versions.store(tx, workspace, bundle)
            versions.activate(tx, workspace, bundle.digest, bundle.law, "per_1", "dec_1", "note")


def test_nothing_is_active_before_an_activation(store):
    with store.reading() as connection, pytest.raises(LookupError):
        versions.active(connection, "wsp_1")


def test_a_version_is_read_back_as_it_was_stored_and_stored_once(store):
    put(store, law(), law())
    with store.reading() as connection:
        assert versions.files_of(connection, "wsp_1", law().digest) == dict(law().files)
        assert versions.files_of(connection, "wsp_2", law().digest) is None
        assert [row["number"] for row in versions.history(connection, "wsp_1")] == [2, 1]
        assert versions.previous(connection, "wsp_1") is None


def test_the_newest_activation_is_in_force_and_the_one_before_is_known(store):
    put(store, law(), OTHER)
    put(store, law(), workspace="wsp_2")
    with store.reading() as connection:
        assert versions.active(connection, "wsp_1") == (OTHER.digest, OTHER.law)
        assert versions.active(connection, "wsp_2") == (law().digest, law().law)
        assert versions.previous(connection, "wsp_1") == (law().digest, law().law)
        assert len(versions.history(connection, "wsp_1", limit=1)) == 1


def test_an_activation_that_is_rolled_back_never_was(store):
    put(store, law())

    def activate_and_fail():
        with store.writing("wsp_1") as tx:
            versions.store(tx, "wsp_1", OTHER)
            versions.activate(tx, "wsp_1", OTHER.digest, OTHER.law, "per_1", "dec_2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        activate_and_fail()
    with store.reading() as connection:
        assert versions.active(connection, "wsp_1")[0] == law().digest
        assert versions.files_of(connection, "wsp_1", OTHER.digest) is None


def test_a_bundle_is_compiled_once_and_shared(store):
    put(store, law())
    cache = versions.BundleCache()
    assert cache.known(law().digest) is None
    with store.reading() as connection:
        first = cache.load(connection, "wsp_1", law().digest)
        assert cache.load(connection, "wsp_2", law().digest) is first
        with pytest.raises(LookupError):
            cache.load(connection, "wsp_1", "sha256:none")
    assert first.digest == law().digest
    assert cache.known(law().digest) is cache.latest("wsp_1") is cache.latest("wsp_2") is first
    assert cache.latest("wsp_3") is None


def test_a_cache_keeps_the_last_few():
    cache = versions.BundleCache()
    for number in range(40):
        cache.put(replace(law(), digest=f"sha256:{number}"), "wsp_1")
    assert cache.known("sha256:0") is None
    assert cache.latest("wsp_1").digest == "sha256:39"


def test_two_activations_never_share_a_number(store):
    put(store, law())
    row = {
        "workspace_id": "wsp_1",
        "number": 1,
        "digest": "d",
        "law": "l",
        "at": 1,
        "by_id": "",
        "decision_id": "",
        "note": "",
    }
    with pytest.raises(IntegrityError, match="an activation must be the next"), store.writing("wsp_1") as tx:
        tx.execute(insert(ACTIVATION), row)
