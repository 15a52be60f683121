"""The composition root: the only module that knows every room, and the wall clock."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from guardhouse.bundle import load, versions
from guardhouse.bundle.load import ActionDecl
from guardhouse.errors import LawFault, SettingsFault
from guardhouse.gateway import Gateway
from guardhouse.gateway.apart import Recaller
from guardhouse.gateway.surroundings import locate
from guardhouse.governance import approvals, workspaces
from guardhouse.ledger import checkpoint, keys, proof
from guardhouse.ledger.tables import CHECKPOINT, HEAD
from guardhouse.model.ids import Ids, RandomIds
from guardhouse.model.instants import Clock, Micros
from guardhouse.operations import CATALOG, housekeeping
from guardhouse.settings import Settings
from guardhouse.storage import migrate as migrations
from guardhouse.storage import private
from guardhouse.storage.opening import backend_of, open_store, reaching, unusable
from guardhouse.storage.store import Transaction
from guardhouse.surfaces import endpoint as endpoints
from guardhouse.surfaces.cli.composition import Founded
from guardhouse.surfaces.collecting import Collecting
from guardhouse.surfaces.endpoint import Endpoint
from guardhouse.surfaces.metrics import Metrics
from guardhouse.surfaces.notify import Notifier
from guardhouse.surfaces.serve import check_exposure
from guardhouse.surfaces.serve import serve as serve_http
from guardhouse.surfaces.silences import NAME as SUPPRESSED
from guardhouse.surfaces.silences import Silences, lift_when_changed

_log = logging.getLogger("guardhouse.app")


def wall_clock() -> Micros:
    """The time of day, in microseconds since the epoch. Nothing below this module may ask for it."""
    return time.time_ns() // 1_000


def actions() -> Mapping[str, ActionDecl]:
    """What the Cedar schema must equal: every operation's category, and whether it governs."""
    return {declared.name: ActionDecl(declared.category, declared.people_only) for declared in CATALOG}


def _brief(error: SQLAlchemyError) -> str:
    """A database's fault in a line for the log: not the statement and its values, and no traceback every second."""
    return unusable(error) if isinstance(error, DBAPIError) else type(error).__name__


class Guardhouse:
    """A whole gateway over one database: store, law, corridor, checkpoints. `start` and `close` its threads.

    Without `start` it still carries calls; only the background work (checkpoints, tidying, housekeeping) rests.
    """

    def __init__(self, settings: Settings, *, clock: Clock = wall_clock, ids: Ids | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.ids = ids or RandomIds(clock)
        self.catalog = CATALOG
        self.store = open_store(settings.resolved_database_url, clock, settings.postgres_pool)
        self.bundles = versions.BundleCache()
        self.signer = keys.load(settings.resolved_signing_key_file)
        self.checkpointer = checkpoint.Checkpointer(self.signer, settings.home / "checkpoints", proof.subtrees)
        self.gateway = Gateway(
            self.store,
            self.catalog,
            self.bundles,
            clock,
            self.ids,
            fetch_timeout_seconds=settings.fetch_timeout_seconds,
            around=locate(settings),
        )
        self.notifier = Notifier(settings.notify_command, settings.notify_url)
        self.gateway.on_notice(self.notifier.tell)
        self._sound = True
        self._beside: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._background: list[threading.Thread] = []

    def start(self) -> None:
        """Begin the background work: a checkpoint at least every second with new entries, tidying, housekeeping."""
        for name, work, seconds in (
            ("background", self.tend, self.settings.checkpoint_seconds),
            ("housekeeping", self.sweep, self.settings.sweep_seconds),
        ):
            self.apart(name, partial(self._every, seconds, work))

    def apart(self, name: str, work: Callable[[], None]) -> None:
        """Do some work on a thread of its own; `close` waits for it."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._background.append(thread)
        thread.start()

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while not self._stop.wait(seconds):
            work()

    def sweep(self) -> None:
        """One round of housekeeping: what lapsed, and what the silent still hold, is ended by recorded calls."""
        try:
            housekeeping.sweep(self.gateway)
        except SQLAlchemyError as error:
            _log.error("housekeeping failed and will be tried again: %s", _brief(error))
        except Exception:  # noqa: BLE001  # whatever fails here must not end the thread that would try again
            _log.exception("housekeeping failed and will be tried again")

    def beside(self, work: Callable[[], None]) -> None:
        """Have something else done in each round of background work, after what is done for the ledger."""
        self._beside.append(work)

    def standing_versions(self, workspace_ids: Iterable[str]) -> dict[str, int]:
        """Each workspace's standing version now: whoever remembers something of one looks whether it still holds."""
        query = select(HEAD.c.workspace_id, HEAD.c.standing_version).where(HEAD.c.workspace_id.in_(list(workspace_ids)))
        with self.store.reading(5.0) as connection:
            return {row.workspace_id: row.standing_version for row in connection.execute(query)}

    def tend(self) -> None:
        """One round of background work. A failure is logged and tried again next round; it stops no call."""
        try:
            self.checkpointer.run(self.store, self.clock())
            self.store.tidy()
            for work in self._beside:
                work()
        except SQLAlchemyError as error:
            _log.error("background work failed and will be tried again: %s", _brief(error))
        except Exception:  # noqa: BLE001  # whatever fails here must not end the thread that would try again
            _log.exception("background work failed and will be tried again")

    def warm(self) -> None:
        """Compile the law in force, which the first call would wait for otherwise. Where that fails, a call tells why."""
        try:
            with self.store.reading() as connection:
                workspace_id = workspaces.by_slug(connection, self.settings.workspace)
                if workspace_id is not None and self.bundles.latest(workspace_id) is None:
                    self.bundles.load(connection, workspace_id, versions.active(connection, workspace_id)[0])
        except LawFault as fault:
            _log.error("the law in force cannot be read by this version: %s", fault.message)
        except Exception as error:  # noqa: BLE001  # nobody waits for this
            _log.info("the law in force is not compiled ahead: %s", type(error).__name__)

    def ready(self) -> dict[str, str | int]:
        """How the ground stands, for `readyz`: `gateway`, `database`, `migrations` and `law` decide, the rest is told."""
        states: dict[str, str | int] = {"gateway": "ok", "queued": self.gateway.waiting}
        try:
            with self.store.reading(5.0) as connection:
                states["database"] = "ok"
                at = migrations.current(connection)
                states["migrations"] = (
                    "ok" if at == migrations.newest() else f"at {at or 'none'}; run `guardhouse migrate`"
                )
                if states["migrations"] != "ok":
                    return states
                states["ledger"] = migrations.ledger_protection(connection)
                workspace_id = workspaces.by_slug(connection, self.settings.workspace)
                unfit = self.bundles.unfit(versions.active(connection, workspace_id)[0]) if workspace_id else ""
                states["law"] = f"cannot be read by this version: {unfit}" if unfit else "ok"
                entries = connection.execute(select(func.coalesce(func.sum(HEAD.c.tree_size), 0))).scalar_one()
                signed = (
                    select(func.max(CHECKPOINT.c.tree_size).label("size"))
                    .group_by(CHECKPOINT.c.workspace_id)
                    .subquery()
                )
                covered = connection.execute(select(func.coalesce(func.sum(signed.c.size), 0))).scalar_one()
                states["checkpoint_lag"] = int(entries) - int(covered)
            states |= self.store.durability()
        except Exception as error:  # noqa: BLE001  # whatever fails, the ground does not stand
            states["database"] = f"unreachable: {type(error).__name__}"
            if isinstance(error, SQLAlchemyError):
                _log.warning("the database cannot be used: %s", _brief(error))
        return states

    def require_sound(self) -> None:
        """SettingsFault, with the next step, when this database cannot be served: absent, not migrated, not durable."""
        try:
            with reaching():
                self.store.durability()
        except SettingsFault:
            self._sound = False
            raise
        states = self.ready()
        if states.get("database") == "ok" and states.get("migrations") == "ok":
            return
        self._sound = False
        raise SettingsFault(
            f"GUARDHOUSE_DATABASE_URL: the database cannot be served: {states.get('database', 'unknown')}, "
            f"migrations {states.get('migrations', 'unknown')}"
        )

    def approval_state(self, workspace_id: str, approval_id: str) -> str:
        """How a question stands now, read beside the corridor; leaves no entry."""
        with self.store.reading(5.0) as connection:
            return approvals.watched(connection, workspace_id, approval_id, self.clock())

    def close(self) -> None:
        """Carry what waits, write a last checkpoint, and close everything."""
        self._stop.set()
        for thread in self._background:
            thread.join(30)
        self.gateway.close()
        self.notifier.close()
        if self._sound:
            self.tend()
        self.store.close()

    def __enter__(self) -> Guardhouse:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def read_settings(**changes: Any) -> Settings:
    """The settings from the environment, with a command's own changes; SettingsFault names the variable at fault."""
    try:
        return Settings(**changes)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "GUARDHOUSE_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsFault(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise SettingsFault(str(error)) from error


def migrate(settings: Settings, service_role: str = "") -> str:
    """Bring the database to this version's schema, as its owner; give a PostgreSQL service role its rights."""
    owner = settings.migration_url or settings.resolved_database_url
    told = ((settings.migration_url, "GUARDHOUSE_MIGRATION_URL"), (settings.database_url, "GUARDHOUSE_DATABASE_URL"))
    variable = next((name for value, name in told if value), "GUARDHOUSE_HOME")
    backend_of(owner, variable)
    with reaching(variable):
        revision = migrations.migrate(owner)
        if service_role:
            migrations.grant_service(owner, service_role)
    return revision


def found(settings: Settings, slug: str, person: str, *, further: bool = True) -> Founded:
    """The workspace `slug` with its first person and the home's policies; what stands already is left as it is.

    Not `further`: founded only where no workspace stands; where others do, nothing is done and `workspace_id` is empty.
    """
    policies = settings.home / "policies"
    with reaching("GUARDHOUSE_HOME"):
        private.folder(settings.home)
        load.write_site_skeleton(policies)
    keys.load(settings.resolved_signing_key_file)
    store = open_store(settings.resolved_database_url, wall_clock, settings.postgres_pool)

    def stands(tx: Transaction) -> Founded | None:
        standing = workspaces.by_slug(tx, slug)
        if standing is not None:
            return Founded(standing, slug, "", "", "", policies, new=False)
        if not further and workspaces.any_founded(tx):
            return Founded("", slug, "", "", "", policies, new=False)
        return None

    try:
        with reaching(), store.writing("") as tx:
            found_already = stands(tx)
        if found_already is not None:
            return found_already
        bundle = load.load_directory(policies, actions())  # takes seconds; no lock waits for it
        with reaching(), store.writing("") as tx:
            found_already = stands(tx)
            if found_already is not None:
                return found_already
            made = workspaces.found(tx, RandomIds(wall_clock), slug, person)
            versions.store(tx, made.workspace_id, bundle)
            versions.activate(tx, made.workspace_id, bundle.digest, bundle.law, made.person_id, "", "the first law")
            return Founded(made.workspace_id, slug, made.person_id, person, made.token.text, policies, new=True)
    finally:
        store.close()


def serve(settings: Settings, announce: Callable[[Endpoint], None]) -> None:
    """Serve until told to end. Checks the exposure and the schema before anything answers."""
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )
    check_exposure(settings)
    with Guardhouse(settings) as house:
        house.require_sound()
        metrics = Metrics(house.catalog)
        house.gateway.on_train(metrics.train)
        metrics.gauge("waiting_calls", "Calls queued for a train.", lambda: house.gateway.waiting)
        silences = Silences(file=settings.home / SUPPRESSED)
        house.beside(lift_when_changed(silences, house.standing_versions))
        house.beside(silences.keep)
        listening: list[Endpoint] = []

        def stand() -> None:
            for endpoint in listening:
                endpoints.keep(settings.home, endpoint)

        house.beside(stand)
        recaller = Recaller(house.store.for_readers())
        house.gateway.recall_by(recaller)
        house.beside(recaller.tend)
        collecting = Collecting(lambda: house.bundles.compiled)
        metrics.gauge("set_aside_objects", "Objects that no garbage collection walks through.", gc.get_freeze_count)
        house.beside(collecting.settle)
        house.start()

        def settle() -> None:
            house.warm()
            collecting.settle()

        def announced(endpoint: Endpoint) -> None:
            port = urlsplit(endpoint.address).port or settings.port
            house.gateway.around = locate(settings, port=port, pid=endpoint.pid)
            listening.append(endpoint)
            announce(endpoint)
            collecting.begin()
            house.apart("warming", settle)

        try:
            serve_http(
                house.gateway,
                settings,
                announce=announced,
                ready=house.ready,
                watch=house.approval_state,
                metrics=metrics,
                silences=silences,
            )
        finally:
            ended, listening[:] = list(listening), []
            for endpoint in ended:
                endpoints.remove(settings.home, endpoint)
            house.gateway.close()
