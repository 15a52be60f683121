"""Disk full, database gone: an honest answer, no half effect, and recovery without a restart."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine.url import make_url

from guardhouse.errors import NotPerformed, OutcomeUnknown
from guardhouse.gateway.train import Train
from guardhouse.model.answer import Outcome
from guardhouse.storage.opening import open_store
from guardhouse.storage.sqlite import SqliteStore
from tests.world import World, world


def _administer(home: World, statement: str) -> None:
    url = make_url(home.store.url).set(drivername="postgresql+psycopg", database="postgres")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _break(home: World) -> Callable[[], None]:
    """Make every write fail from now on; gives what mends it."""
    if isinstance(home.store, SqliteStore):
        with home.store.writing("") as tx:
            pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar()
            tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        fill = home.store.writing

        def full(lock: str) -> Any:
            manager = fill(lock)

            class Full:
                def __enter__(self) -> Any:
                    tx = manager.__enter__()
                    tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
                    return tx

                def __exit__(self, *details: Any) -> Any:
                    return manager.__exit__(*details)

            return Full()

        home.store.writing = full  # type: ignore[method-assign]  # the limit belongs to a connection; set it on each

        def mend() -> None:
            del home.store.writing
            home.store._connection = None

        return mend
    name = make_url(home.store.url).database
    _administer(home, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    _administer(home, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    return lambda: _administer(home, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def _try(home: World, agent: Any, number: int) -> str:
    body = {"key": f"res:{number}", "reason": "x" * 400}
    try:
        return home.call(agent, "acquire_lock", body, idempotency_key=f"k{number}").code
    except (NotPerformed, OutcomeUnknown) as error:
        return error.code


def test_calls_while_the_ground_fails_have_effect_and_entry_or_neither(home: World) -> None:
    agent = home.agent("steady")
    assert _try(home, agent, 0) == "performed"
    mend = _break(home)
    try:
        with ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(lambda number: _try(home, agent, number), range(1, 121)))
    finally:
        mend()
    assert set(codes) <= {"performed", "not_performed", "outcome_unknown"}
    assert set(codes) - {"performed"}, "the ground never failed"
    entries = {
        entry["call"].get("idempotency"): entry for entry in home.entries() if entry["operation"] == "acquire_lock"
    }
    locks = {lock["key"] for lock in home.done(agent, "check_locks", {"limit": 200})["locks"]}
    for number, code in enumerate(codes, start=1):
        told = home.done(agent, "get_outcome", {"idempotency_key": f"k{number}"})["state"]
        held = f"res:{number}" in locks
        assert (told == "performed") == held, number
        if code == "performed":
            assert held
        if code == "not_performed":
            assert not held
    assert len(entries) == len(locks)
    for number in range(121, 130):
        assert _try(home, agent, number) == "performed", "the service did not recover by itself"


def test_a_commit_that_fails_takes_back_everything(home: World) -> None:
    agent = home.agent("steady")
    before = home.count()
    real = home.store.writing

    def failing(lock: str) -> Any:
        manager = real(lock)

        class Failing:
            def __enter__(self) -> Any:
                return manager.__enter__()

            def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
                broken = OSError("the disk went away at the last moment")
                manager.__exit__(type(broken), broken, None)
                raise broken

        return Failing()

    home.store.writing = failing
    try:
        with pytest.raises(NotPerformed):
            home.call(agent, "acquire_lock", {"key": "res:a"})
    finally:
        del home.store.writing
    assert home.count() == before
    assert home.done(agent, "check_locks", {"key": "res:a"})["locks"] == []
    assert home.call(agent, "acquire_lock", {"key": "res:a"}).performed


def test_a_ground_that_stays_away_costs_a_train_no_more_than_its_patience(home: World) -> None:
    """Each failed ride may wait for the database; who comes after that time is told at once, and truthfully."""
    agent = home.agent("steady")
    before = home.count()
    seconds = [0.0]
    tried: list[int] = []
    real = home.store.begin

    def away(*, wait: bool = True) -> Any:
        tried.append(1)
        seconds[0] += 4.0
        raise OSError("the database does not answer")

    train = Train(
        home.store,
        home.gateway.bundles,
        home.ids,
        lambda _kind, _notice: None,
        monotonic=lambda: seconds[0],
        spent=lambda: 0.0,  # waiting takes none of the processor
    )
    raws = [home.raw(agent, "acquire_lock", {"key": f"res:{number}"}) for number in range(20)]
    prepared = [home.gateway._prepare(raw) for raw in raws]
    home.store.begin = away
    try:
        answers = train.carry(prepared)
    finally:
        home.store.begin = real
    assert len(answers) == len(raws)
    assert {type(answer) for _call, answer in answers} == {NotPerformed}
    assert len(tried) < 6, "every call waited for the database"
    assert home.count() == before
    again = train.carry(prepared[:3])
    assert [answer.code for _call, answer in again if isinstance(answer, Outcome)] == ["performed"] * 3


_FRIGHTENING = "disk full, malformed, read-only, no space"


def _raising(home: World, state: str) -> None:
    """Let the database itself refuse every lock under `res:odd`, as a fault in one statement, in frightening words."""
    statements = [
        f"CREATE TRIGGER odd BEFORE INSERT ON lock WHEN NEW.key = 'res:odd' "
        f"BEGIN SELECT RAISE(ABORT, '{_FRIGHTENING}'); END"
    ]
    if not home.store.embedded:
        statements = [
            f"CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{_FRIGHTENING}' "
            f"USING ERRCODE = '{state}'; END $$",
            "CREATE TRIGGER odd BEFORE INSERT ON lock FOR EACH ROW WHEN (NEW.key = 'res:odd') EXECUTE FUNCTION odd()",
        ]
    with home.store.writing("") as tx:
        for statement in statements:
            tx.connection.exec_driver_sql(statement)


def test_a_statement_at_fault_is_that_calls_recorded_failure_whatever_its_words(home: World) -> None:
    agent = home.agent("unlucky")
    _raising(home, "P0001")
    with ThreadPoolExecutor(4) as pool:
        keys = ["res:odd" if number % 4 == 0 else f"res:{number}" for number in range(16)]
        answers = list(pool.map(lambda key: home.call(agent, "acquire_lock", {"key": key}), keys))
    assert {key: answer.code for key, answer in zip(keys, answers, strict=True) if answer.code != "performed"} == {
        "res:odd": "internal_error"
    }
    for answer in answers:
        assert home.entry(answer.decision_id)["outcome"] == answer.code
        assert "malformed" not in answer.message


@pytest.mark.parametrize("state", ["53100", "25006", "58030", "XX001"])
def test_a_statement_that_fails_with_the_ground_leaves_neither_effect_nor_entry(
    new_database: Callable[[str], str], clock: Any, ids: Any, state: str
) -> None:
    """PostgreSQL can be made to say so; SQLite's own is shown by a file that is really full, above."""
    store = open_store(new_database("postgresql"), clock)
    try:
        with world(store, clock, ids) as home:
            agent = home.agent("unlucky")
            _raising(home, state)
            before = home.count()
            with pytest.raises(NotPerformed):
                home.call(agent, "acquire_lock", {"key": "res:odd"})
            assert home.count() == before
            assert home.call(agent, "acquire_lock", {"key": "res:fine"}).performed
    finally:
        store.close()
