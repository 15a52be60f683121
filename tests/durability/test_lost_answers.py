"""The commit's answer is lost: the caller is told the truth, or that it is not known, and `get_outcome` tells it later.

Whatever becomes of the line between the gateway and its database at the moment of COMMIT, a call is
performed once or not at all, and nobody is told otherwise.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guardhouse.storage import postgres
from guardhouse.storage.opening import open_store
from guardhouse.storage.store import Opened
from tests.durability.holding import Held, Line, held_line
from tests.surfaces.doors import Answer, Listening, listening
from tests.world import Member, World, world

TASK = {"title": "written once"}


class Place:
    """A gateway behind a real door, over a line that can break; one agent that sends a keyed call."""

    def __init__(self, home: World, door: Listening) -> None:
        self.home = home
        self.door = door
        self.agent: Member = home.agent("sender")
        # Whoever is not known yet is read first, and reading commits too.
        assert self.send("warm").status == 200
        self.before = home.count()

    def send(self, key: str = "k") -> Answer:
        return self.door.post("submit_work", json.dumps(TASK).encode(), self.agent.token, **{"Idempotency-Key": key})

    def outcome(self) -> dict[str, Any]:
        """What `get_outcome` tells the sender."""
        answer = self.door.post("get_outcome", b'{"idempotency_key": "k"}', self.agent.token)
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def tasks(self) -> int:
        """How often the call's effect stands there, the one of warming up left out."""
        return len(self.home.done(self.home.operator, "list_tasks", {})["tasks"]) - 1

    def submissions(self) -> list[dict[str, Any]]:
        """The call's entries."""
        return [entry for entry in self.home.entries()[self.before :] if entry["operation"] == "submit_work"]


@contextmanager
def _place(url: str, clock: Any, ids: Any, folder: Path) -> Iterator[Place]:
    store = open_store(url, clock)
    try:
        with world(store, clock, ids) as home, listening(home.gateway, folder / "home") as door:
            yield Place(home, door)
    finally:
        store.close()


@pytest.fixture
def line(new_database: Callable[[str], str]) -> Iterator[Line]:
    with held_line(new_database("postgresql")) as made:
        yield made


@pytest.fixture
def place(line: Line, clock: Any, ids: Any, tmp_path: Path) -> Iterator[Place]:
    with _place(line.url, clock, ids, tmp_path) as made:
        yield made


@contextmanager
def _asked(place: Place, line: Line) -> Iterator[tuple[Future[Answer], Held]]:
    """A call under way, whose COMMIT waits on the line."""
    with ThreadPoolExecutor(1) as pool:
        line.holding = True
        answer = pool.submit(place.send)
        yield answer, line.next("asked")


def _told_unknown(answer: Answer) -> str:
    assert (answer.status, answer.code) == (503, "outcome_unknown"), answer.body
    assert answer.json["error"]["retryable"] is True
    decision: str = answer.json["error"]["decision_id"]
    assert decision
    return decision


def _committed(place: Place, decision: str) -> None:
    """What must hold of a call that was performed while nobody could say so."""
    told = place.outcome()
    assert (told["state"], told["outcome_decision_id"]) == ("performed", decision)
    assert [entry["id"] for entry in place.submissions()] == [decision]
    assert place.tasks() == 1
    again = place.send()
    assert (again.status, again.headers["guardhouse-repeats"]) == (200, decision)
    assert place.tasks() == 1


def _not_committed(place: Place) -> None:
    """What must hold of a call that was not."""
    told = place.outcome()
    assert (told["state"], told["outcome_decision_id"]) == ("none", "")
    assert (place.submissions(), place.tasks()) == ([], 0)
    again = place.send()
    assert (again.status, "guardhouse-repeats" in again.headers) == (200, False)
    assert place.tasks() == 1


def test_postgresql_committed_and_the_answer_lost_with_the_database(place: Place, line: Line) -> None:
    with _asked(place, line) as (sent, asked):
        asked.release()
        acknowledged = line.next("acknowledged")
        line.holding = False
        line.sever()
        acknowledged.cut()
        decision = _told_unknown(sent.result(30))
    line.mend()
    _committed(place, decision)


def test_postgresql_commit_lost_with_the_database(place: Place, line: Line) -> None:
    with _asked(place, line) as (sent, asked):
        line.holding = False
        line.sever()
        asked.cut()
        _told_unknown(sent.result(30))
    line.mend()
    _not_committed(place)


def test_postgresql_a_database_that_can_be_asked_leaves_nothing_unknown(place: Place, line: Line) -> None:
    """Committed: the first answer is given after all. Lost: it is carried once more."""
    with _asked(place, line) as (sent, asked):
        asked.release()
        acknowledged = line.next("acknowledged")
        line.holding = False
        acknowledged.cut()
        answer = sent.result(30)
    assert answer.status == 200, answer.body
    _committed(place, answer.headers["guardhouse-decision"])


@pytest.mark.parametrize("committed", [True, False])
def test_postgresql_everybody_on_a_train_is_told_the_truth(place: Place, line: Line, committed: bool) -> None:
    """Five ride together; while a sixth, who comes when the line is broken, is carried like anybody."""
    keys = [f"of-five-{number}" for number in range(5)]
    with _asked(place, line) as (first, asked), ThreadPoolExecutor(6) as pool:
        five = [pool.submit(place.send, key) for key in keys]
        deadline = time.monotonic() + 20
        while place.home.gateway.waiting < len(five):
            assert time.monotonic() < deadline, "they do not wait"
        asked.release()
        line.next("acknowledged").release()
        together = line.next("asked")
        sixth = pool.submit(place.send, "sixth")
        if committed:
            together.release()
            together = line.next("acknowledged")
        line.holding = False
        together.cut()
        answers = [one.result(30) for one in (first, *five, sixth)]
    assert [answer.status for answer in answers] == [200] * 7, [answer.body for answer in answers]
    told = [answer.headers["guardhouse-decision"] for answer in answers]
    assert sorted(entry["id"] for entry in place.submissions()) == sorted(told)
    assert len(set(told)) == place.tasks() == 7


def test_postgresql_a_lost_commit_is_carried_once_more(place: Place, line: Line) -> None:
    with _asked(place, line) as (sent, asked):
        line.holding = False
        asked.cut()
        answer = sent.result(30)
    assert answer.status == 200, answer.body
    _committed(place, answer.headers["guardhouse-decision"])


def test_postgresql_a_commit_still_under_way_when_its_client_asks_is_not_made_twice(place: Place, line: Line) -> None:
    """The gateway's side of the line breaks, the server's does not: COMMIT arrives while the gateway asks after it."""
    with _asked(place, line) as (sent, asked):
        line.holding = False
        asked.strand()
        with pytest.raises(TimeoutError):
            sent.result(0.5)
        asked.deliver()
        answer = sent.result(30)
    assert answer.status == 200, answer.body
    _committed(place, answer.headers["guardhouse-decision"])


def test_postgresql_a_commit_that_outlasts_every_patience_is_not_called_undone(
    line: Line, clock: Any, ids: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives after the caller was answered."""
    monkeypatch.setattr(postgres, "_LOCK_MILLISECONDS", 300)
    with _place(line.url, clock, ids, tmp_path) as place:
        with _asked(place, line) as (sent, asked):
            line.holding = False
            asked.strand()
            decision = _told_unknown(sent.result(30))
        assert place.submissions() == []
        asked.deliver()
        _committed(place, decision)


def test_postgresql_a_transaction_whose_client_vanished_holds_nobody_up_for_long(
    line: Line, clock: Any, ids: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server hears nothing of the broken line, and COMMIT never comes: it ends that transaction by itself."""
    monkeypatch.setattr(postgres, "_TRANSACTION_MILLISECONDS", 1_000)
    with _place(line.url, clock, ids, tmp_path) as place:
        with _asked(place, line) as (sent, asked):
            line.holding = False
            asked.strand()
            answer = sent.result(15)
        assert answer.status == 200, answer.body
        asked.deliver()
        _committed(place, answer.headers["guardhouse-decision"])


@pytest.mark.parametrize("committed", [True, False])
def test_sqlite_the_answer_lost_with_the_file(
    new_database: Callable[[str], str], clock: Any, ids: Any, tmp_path: Path, committed: bool
) -> None:
    """COMMIT is made, or is not; then the disk is gone, a directory stands where the file was, and COMMIT failed."""
    with _place(new_database("sqlite"), clock, ids, tmp_path) as place:
        store = place.home.store
        begin, away = store.begin, store.path.with_suffix(".away")

        def begin_last(*, wait: bool = True) -> Opened | None:
            opened = begin(wait=wait)
            if opened is None:
                return None

            def lose() -> None:
                store.begin = begin
                (opened.commit if committed else opened.rollback)()
                store._drop()
                os.rename(store.path, away)
                store.path.mkdir()
                raise OSError("the disk went away")

            return Opened(opened.tx, lose, opened.rollback)

        store.begin = begin_last
        decision = _told_unknown(place.send())
        store.path.rmdir()
        os.rename(away, store.path)
        if committed:
            _committed(place, decision)
        else:
            _not_committed(place)


def test_sqlite_a_file_that_can_be_asked_leaves_nothing_unknown(
    new_database: Callable[[str], str], clock: Any, ids: Any, tmp_path: Path
) -> None:
    with _place(new_database("sqlite"), clock, ids, tmp_path) as place:
        begin = place.home.store.begin

        def begin_last(*, wait: bool = True) -> Opened | None:
            opened = begin(wait=wait)
            if opened is None:
                return None

            def lose() -> None:
                place.home.store.begin = begin
                opened.commit()
                raise OSError("the answer went away")

            return Opened(opened.tx, lose, opened.rollback)

        place.home.store.begin = begin_last
        answer = place.send()
        assert answer.status == 200, answer.body
        _committed(place, answer.headers["guardhouse-decision"])
