"""Playbooks on a real gateway: a version is made, looked at, activated whole, and read by everybody at the next call."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from guardhouse.app import actions
from guardhouse.bundle import load, versions
from tests.world import Member, World, second_process, shipped_bundle, world


@pytest.fixture
def here(store: Any, clock: Any, ids: Any) -> Iterator[World]:
    with world(store, clock, ids) as made:
        yield made


def files(number: int, *, default: bool = False) -> dict[str, str]:
    """The shipped law with playbooks that all speak of one number."""
    made = {path: content.decode() for path, content in shipped_bundle().files.items()}
    for role in ("developer", "orchestrator", "reviewer", *(("default",) if default else ())):
        made[f"playbooks/{role}.yaml"] = (
            f"role: {role}\ntitle: The {role}\ninvariants:\n  - Rule {number} of {role}.\n"
            f"guide: |\n  Guide {number} of {role}.\n"
        )
    return made


def read(there: World, who: Member) -> dict[str, Any]:
    return there.done(who, "get_playbook")


def test_a24_a25_a26_everybody_reads_all_invariants_and_only_their_own_guide(here: World) -> None:
    made = here.done(here.operator, "activate_policy", {"files": files(1)})
    stated = [f"Rule 1 of {role}." for role in ("developer", "orchestrator", "reviewer")]
    for role in ("developer", "reviewer"):
        book = read(here, here.agent(f"some-{role}", role=role))
        assert (book["role"], book["title"], book["guide"]) == (role, f"The {role}", f"Guide 1 of {role}.\n")
        assert (book["invariants"], book["version"]) == (stated, made["digest"])
    named = here.call(here.agent("sly"), "get_playbook", {"role": "orchestrator"})
    assert named.code == "validation", "the role is the one that an agent was registered with"


def test_a25_a27_a_role_without_a_page_gets_the_default_one_if_there_is_one(here: World) -> None:
    nobody = here.agent("odd-jobs", role="odd-jobs")
    here.done(here.operator, "activate_policy", {"files": files(1)})
    assert (read(here, nobody)["guide"], read(here, nobody)["title"]) == ("", "")
    assert "default" not in {item["role"] for item in here.done(nobody, "list_roles")["roles"]}
    here.done(here.operator, "activate_policy", {"files": files(2, default=True)})
    assert (read(here, nobody)["guide"], read(here, nobody)["title"]) == ("Guide 2 of default.\n", "The default")
    assert "Rule 2 of default." in read(here, here.agent("dev"))["invariants"]
    roles = here.done(here.agent("critic", role="reviewer"), "list_roles")["roles"]
    assert [(item["role"], item["yours"]) for item in roles if item["yours"]] == [("reviewer", True)]


def test_a28_making_a_version_is_not_activating_it(here: World) -> None:
    """A stored bundle is read by nobody until it is activated, and one with a fault never is."""
    worker = here.agent("worker")
    before = read(here, worker)
    draft = load.load_files({path: text.encode() for path, text in files(7).items()}, actions())
    with here.store.writing(here.workspace_id) as tx:
        versions.store(tx, here.workspace_id, draft)
    assert read(here, worker) == before
    history = here.done(here.operator, "policy_history")["activations"]
    assert draft.digest not in {one["digest"] for one in history}
    faulty = files(8) | {"playbooks/developer.yaml": "role: developer\nguide: [\n"}
    assert here.call(here.operator, "activate_policy", {"files": faulty}).code == "invalid_bundle"
    assert (read(here, worker)["etag"], read(here, worker)["version"]) == (before["etag"], before["version"])
    made = here.done(here.operator, "activate_policy", {"files": files(7)})
    assert made["digest"] == draft.digest
    assert read(here, worker)["guide"] == "Guide 7 of developer.\n"


def test_a28_an_activation_is_whole_for_readers_at_work_in_two_processes(here: World) -> None:
    """While versions change, every answer is of one version: its guide, its invariants and its digest."""
    workers = [here.agent(f"worker-{number}") for number in range(4)]
    texts = [files(number) for number in range(1, 4)]
    digests: dict[str, int] = {shipped_bundle().digest: 0}
    seen: list[dict[str, Any]] = []
    with second_process(here) as there, ThreadPoolExecutor(4) as pool:
        over = Event()

        def work(number: int) -> None:
            place = (here, there)[number % 2]
            while not over.wait(0.001):  # lets the activation have the processor, too
                seen.append(read(place, workers[number]))
            seen.append(read(place, workers[number]))

        readers = [pool.submit(work, number) for number in range(4)]
        for number, text in enumerate(texts, 1):
            made = here.done(here.operator, "activate_policy", {"files": text})
            digests[made["digest"]] = number
            # Another process at its very next call.
            assert read(there, workers[1])["guide"] == f"Guide {number} of developer.\n"
        over.set()
        for reader in readers:
            reader.result(60)
    for book in seen:
        number = digests[book["version"]]
        if number:
            assert book["guide"] == f"Guide {number} of developer.\n"
            assert book["invariants"] == [
                f"Rule {number} of {role}." for role in ("developer", "orchestrator", "reviewer")
            ]
    assert {digests[book["version"]] for book in seen[-4:]} == {3}


def test_a28_what_speaks_of_the_law_names_the_version_that_is_in_force(here: World) -> None:
    worker = here.agent("worker")

    def named(there: World) -> set[str]:
        return {
            read(there, worker)["version"],
            there.done(worker, "list_roles")["version"],
            there.done(worker, "get_my_profile")["bundle"],
            there.done(worker, "check_policy", {"operation": "acquire_lock"})["bundle"],
        }

    with second_process(here) as there:
        for text in (files(1), files(2)):
            made = here.done(here.operator, "activate_policy", {"files": text})
            assert named(here) == named(there) == {made["digest"]}
        back = here.done(here.operator, "rollback_policy", {})
        assert named(here) == named(there) == {back["digest"]}
        assert read(there, worker)["guide"] == "Guide 1 of developer.\n"


def test_a28_asked_again_it_is_not_modified_until_its_own_text_changes(here: World) -> None:
    worker = here.agent("worker")
    here.done(here.operator, "activate_policy", {"files": files(1)})
    first = read(here, worker)
    remark = files(1) | {"gateway.yaml": files(1)["gateway.yaml"] + "\n# a remark\n"}
    made = here.done(here.operator, "activate_policy", {"files": remark})
    again = here.done(worker, "get_playbook", {"if_none_match": first["etag"]})
    assert (again["not_modified"], again["guide"], again["invariants"]) == (True, "", [])
    assert again["version"] == made["digest"] != first["version"]
    here.done(here.operator, "activate_policy", {"files": files(2)})
    changed = here.done(worker, "get_playbook", {"if_none_match": first["etag"]})
    assert (changed["not_modified"], changed["guide"]) == (False, "Guide 2 of developer.\n")
    assert changed["etag"] != first["etag"]
