"""The gateway: a call is read, decided, acted and recorded, in one transaction. There is no other way in."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from guardhouse.bundle import Bundle, versions
from guardhouse.catalog import Catalog, Operation
from guardhouse.errors import LawFault, NotPerformed, Unauthenticated
from guardhouse.gates import control, identity
from guardhouse.gateway.apart import Recaller
from guardhouse.gateway.corridor import CLOSING, Corridor, Ticket
from guardhouse.gateway.fetch import fetch, unavailable
from guardhouse.gateway.offer import Onlooker, Stood
from guardhouse.gateway.prepare import Located, Prepared, prepare
from guardhouse.gateway.train import Answered, Train, unreadable
from guardhouse.gateway.turns import Turns
from guardhouse.governance import standing
from guardhouse.guardrails.surroundings import NOWHERE, Surroundings
from guardhouse.ledger import entries
from guardhouse.model import canonical
from guardhouse.model.answer import Outcome
from guardhouse.model.call import HOUSE, Call, RawCall, Resource
from guardhouse.model.decision import Effect, Step
from guardhouse.model.facts import Facts
from guardhouse.model.ids import Ids
from guardhouse.model.instants import Clock, Micros
from guardhouse.storage.store import Store

_TOKENS_KEPT = 10_000
_FETCHERS = 4
_PREPARERS = 4
_LONG_PREPARERS = 2
_LONG_BYTES = 16 * 1024
"""Longer bodies have threads of their own, so that what is read soon waits for a turn, never for them to end."""
_LOCATORS = 2
"""Where an unknown token leads is read on threads of its own, so that a newcomer's short call waits for no examination."""
_GATHERERS = 2
_MOST_GATHERING = 16
"""Gathering (a child process) has threads of its own, so that nobody else waits for it."""
_LOOP_BYTES = 512
"""Bodies up to this size are prepared on the event loop; examining a longer one could hold up everybody else."""
_AT_ONCE = nullcontext()
_UNREAD = "the database cannot be read, so nothing was done; send the call again"


@dataclass(frozen=True, slots=True)
class Housework:
    """One call that the house makes: an operation of its own, and the body."""

    operation: str
    body: Mapping[str, Any]


T = TypeVar("T")
NoticeHandler = Callable[[str, Mapping[str, Any]], None]


class Gateway:
    """Carries calls from any door to the ledger and back.

    `handle` blocks; `handle_async` waits on the running event loop. Both raise `Unauthenticated` when
    no principal is behind the token (no entry), `NotPerformed` or `OutcomeUnknown` when the ground
    fails; everything else, refusals included, is an `Outcome` whose entry is already durable.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        bundles: versions.BundleCache,
        clock: Clock,
        ids: Ids,
        *,
        fetch_timeout_seconds: float = 20.0,
        around: Surroundings = NOWHERE,
    ) -> None:
        self.store = store
        self.catalog = catalog
        self.bundles = bundles
        self.clock = clock
        self.ids = ids
        self.around = around
        self._fetch_timeout = fetch_timeout_seconds
        self._notice_handlers: list[NoticeHandler] = []
        self._train_watchers: list[Callable[[int], None]] = []
        self._located: OrderedDict[str, Located] = OrderedDict()
        self._corridors: dict[str, Corridor] = {}
        self._guard = threading.Lock()
        self._onlooker = Onlooker(bundles, clock)
        self._closed = False
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")
        self._preparers = ThreadPoolExecutor(_PREPARERS, thread_name_prefix="prepare")
        self._long_preparers = ThreadPoolExecutor(_LONG_PREPARERS, thread_name_prefix="prepare-long")
        self._locators = ThreadPoolExecutor(_LOCATORS, thread_name_prefix="locate")
        self._gatherers = ThreadPoolExecutor(_GATHERERS, thread_name_prefix="gather")
        self._turns = Turns()
        self._gathering = threading.BoundedSemaphore(_MOST_GATHERING)
        self._recaller: Recaller | None = None

    def on_notice(self, handler: NoticeHandler) -> None:
        """Call `handler(kind, notice)` after each commit that has something to tell. It MUST return at once."""
        self._notice_handlers.append(handler)

    def on_train(self, watcher: Callable[[int], None]) -> None:
        """Call `watcher(calls)` after each train, for metrics."""
        self._train_watchers.append(watcher)

    def recall_by(self, recaller: Recaller) -> None:
        """Have recalls read by a process of its own from now on, where it can; it is ended with the gateway."""
        self._recaller = recaller

    def handle(self, raw: RawCall) -> Outcome:
        """Carry one call and block until its entry is durable."""
        prepared = self._prepare(raw)
        ticket = Ticket(prepared)
        self._corridor(prepared).enter(ticket)
        return self._finish(prepared, ticket.wait())

    async def handle_async(self, raw: RawCall) -> Outcome:
        """Carry one call and wait on the event loop until its entry is durable.

        Whoever is cancelled while waiting gives up the answer, not the call: it is carried all the same.
        """
        loop = asyncio.get_running_loop()
        operation = self.catalog.find(raw.operation)
        gathers = operation is not None and operation.gather is not None
        if gathers or len(raw.body) > _LOOP_BYTES or self._located.get(_hash(raw.token)) is None:
            boarding = asyncio.ensure_future(self._board_slowly(raw, loop, gathers=gathers))
            try:
                prepared, ticket = await asyncio.shield(boarding)
            except asyncio.CancelledError:
                boarding.add_done_callback(_forget)
                raise
        else:
            prepared = self._prepare(raw)
            ticket = self._board(prepared, loop)
        answer = await ticket.future  # the ticket's alone: who is cancelled cancels the answer and nothing else
        if operation is not None and operation.fetch is not None:
            try:
                finishing = loop.run_in_executor(self._fetchers, self._finish, prepared, answer)
            except RuntimeError:  # the pool has ended; the call itself is recorded
                if isinstance(answer, Exception):
                    raise answer from None
                return unavailable(answer)
            return await finishing
        return self._finish(prepared, answer)

    async def read_again(self, raw: RawCall, outcome: Outcome) -> Outcome:
        """The answer of a permitted call, fetched once more, for a caller who has waited. Leaves no entry: it has one.

        Whoever may no longer speak (suspended, revoked, stopped meanwhile) is told that instead.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._fetchers, self._read_again, raw, outcome)

    def _read_again(self, raw: RawCall, outcome: Outcome) -> Outcome:
        try:
            prepared = self._prepare(raw)
            assert prepared.operation is not None
            stopped = self._stopped(prepared.token_hash, prepared.located.workspace_id, prepared.operation, raw.surface)
        except (NotPerformed, SQLAlchemyError):
            return unavailable(outcome)
        if stopped is not None:
            return replace(outcome, code=stopped.code, message=stopped.message, result=None)
        return self._finish(prepared, outcome)

    def knows(self, token: str) -> bool:
        """Whether a token is remembered as somebody's; where it is not, `stood` asks the database."""
        with self._guard:
            return standing.hash_token(token) in self._located

    def stood(self, token: str | None) -> Stood:
        """How a token stands now, read beside the corridor: for lists, which leave no entry. Blocks.

        Raises `Unauthenticated` for a token that leads to nobody, `NotPerformed` when the ground fails.
        """
        token_hash = _hash(token)
        try:
            located = self._locate(token_hash)
            with self.store.reading() as connection:
                found = self._onlooker.look(connection, located.workspace_id, token_hash)
        except SQLAlchemyError as error:
            raise NotPerformed("the database cannot be read; ask again") from error
        except LawFault as fault:
            raise NotPerformed(unreadable(fault.message)) from fault
        if found is None:
            raise Unauthenticated(Unauthenticated.UNKNOWN)
        return found

    async def _board_slowly(
        self, raw: RawCall, loop: asyncio.AbstractEventLoop, *, gathers: bool
    ) -> tuple[Prepared, Ticket]:
        """Prepare on a thread what could hold up everybody else on the loop, and queue the call."""
        if not gathers and len(raw.body) <= _LOOP_BYTES:
            await self._on_thread(self._locators, self._meet, raw, loop)
            prepared = self._prepare(raw)
            return prepared, self._board(prepared, loop)
        if not gathers:
            pool = self._long_preparers if len(raw.body) > _LONG_BYTES else self._preparers
            prepared = await self._on_thread(pool, self._prepare_in_turns, raw, loop)
            return prepared, self._board(prepared, loop)
        if not self._gathering.acquire(blocking=False):
            raise NotPerformed("too many texts are being parsed already; send the call again in a few seconds")
        try:
            prepared = await self._on_thread(self._gatherers, self._prepare, raw, loop)
        finally:
            self._gathering.release()
        return prepared, self._board(prepared, loop)

    def _on_thread(
        self,
        pool: ThreadPoolExecutor,
        preparing: Callable[[RawCall], T],
        raw: RawCall,
        loop: asyncio.AbstractEventLoop,
    ) -> asyncio.Future[T]:
        try:
            return loop.run_in_executor(pool, preparing, raw)
        except RuntimeError:  # pools end with the gateway
            raise NotPerformed(CLOSING) from None

    def _board(self, prepared: Prepared, loop: asyncio.AbstractEventLoop) -> Ticket:
        ticket = Ticket(prepared, loop)
        self._corridor(prepared).enter(ticket)
        return ticket

    def keep_house(self, workspace_id: str, catalog: Catalog, work: Sequence[Housework]) -> list[Answered]:
        """Carry the house's own calls, in order, and block until their entries are durable.

        This is the only way to be the principal `system`: no token leads to it, and `catalog` is handed
        in by the composition, never by a door. A call that finds nothing to do is answered NotPerformed.
        """
        if not work:
            return []
        with self.store.reading() as connection:
            _facts, key = standing.read_workspace(connection, workspace_id)
        located = Located(workspace_id, key, standing.HOUSE.kind, standing.HOUSE.id, "", "")
        bundle = self._bundle(workspace_id)
        tickets = []
        for item in work:
            raw = RawCall(item.operation, canonical.encode(item.body), None, HOUSE)
            prepared = prepare(raw, standing.HOUSE_MARK, located, catalog, bundle, self.ids.new("decision"))
            tickets.append(Ticket(prepared))
            self._corridor(prepared).enter(tickets[-1])
        return [ticket.wait() for ticket in tickets]

    def _meet(self, raw: RawCall) -> None:
        """Read where a token leads and the law there, so that preparing its call asks the database for nothing."""
        try:
            self._bundle(self._locate(_hash(raw.token)).workspace_id)
        except SQLAlchemyError as error:
            raise NotPerformed(_UNREAD) from error

    def _prepare_in_turns(self, raw: RawCall) -> Prepared:
        if self._closed:  # who still waits for a thread would find every corridor shut: nobody's work is done in vain
            raise NotPerformed(CLOSING)
        return self._prepare(raw, self._turns.taken())

    def _prepare(self, raw: RawCall, working: AbstractContextManager[None] = _AT_ONCE) -> Prepared:
        """The call read and examined, which is done inside of `working`; what it takes from the database is read before."""
        token_hash = _hash(raw.token)
        try:
            located = self._locate(token_hash)
            bundle = self._bundle(located.workspace_id)
            gather = self._may_gather(raw, token_hash, located)
        except SQLAlchemyError as error:
            raise NotPerformed(_UNREAD) from error
        with working:
            prepared = prepare(
                raw,
                token_hash,
                located,
                self.catalog,
                bundle,
                self.ids.new("decision"),
                gather=gather,
                around=self.around,
            )
        gathered = getattr(prepared.evidence, "bundle", None)
        if isinstance(gathered, Bundle):
            self.bundles.put(gathered)  # should the train activate it, its next call is judged by it
        return prepared

    def _may_gather(self, raw: RawCall, token_hash: str, located: Located) -> bool:
        """Whether it is worth gathering for this caller: not for one whom identity or control will refuse anyway.

        A hint like `_locate`: the train judges again.
        """
        operation = self.catalog.find(raw.operation)
        if operation is None or operation.gather is None:
            return False
        return self._stopped(token_hash, located.workspace_id, operation, raw.surface) is None

    def _stopped(self, token_hash: str, workspace_id: str, operation: Operation, surface: str) -> Step | None:
        """The step of identity or control that refuses this caller now, read beside the corridor; None while none does."""
        with self.store.reading() as connection:
            principal = standing.read_principals(connection, workspace_id, [token_hash]).get(token_hash)
            workspace, _key = standing.read_workspace(connection, workspace_id)
        if principal is None:
            raise Unauthenticated(Unauthenticated.UNKNOWN)
        facts = Facts(now=self.clock(), principal=principal, workspace=workspace)
        call = Call(
            "",
            operation.name,
            operation.category,
            Resource("", ""),
            surface,
            "",
            0,
            "",
            governs=operation.people_only,
        )
        steps = (identity.check(call, facts, identity.Rules(), ()), control.check(call, facts, control.Rules(), ()))
        return next((step for step in steps if step.effect is not Effect.ALLOW), None)

    def _locate(self, token_hash: str) -> Located:
        """Where a token leads. A hint, kept in memory; the train reads who it is under the lock."""
        with self._guard:
            known = self._located.get(token_hash)
            if known is not None:
                self._located.move_to_end(token_hash)
                return known
        with self.store.reading() as connection:
            found = standing.locate_token(connection, token_hash)
        if found is None:
            raise Unauthenticated(Unauthenticated.UNKNOWN)
        located = Located(
            workspace_id=found.workspace_id,
            key=found.key,
            principal_kind=found.principal_kind,
            principal_id=found.principal_id,
            session_id=found.session_id,
            repository=found.repository,
        )
        with self._guard:
            self._located[token_hash] = located
            while len(self._located) > _TOKENS_KEPT:
                self._located.popitem(last=False)
        return located

    def _bundle(self, workspace_id: str) -> Bundle:
        """The law to prepare under: the one last seen active. Should it change meanwhile, the train prepares again."""
        bundle = self.bundles.latest(workspace_id)
        if bundle is not None:
            return bundle
        with self.store.reading() as connection:
            digest, _law = versions.active(connection, workspace_id)
            try:
                return self.bundles.load(connection, workspace_id, digest)
            except LawFault as fault:
                raise NotPerformed(unreadable(fault.message)) from fault

    def _corridor(self, prepared: Prepared) -> Corridor:
        """The corridor of the call's write lock: one a file on SQLite, one a workspace on PostgreSQL."""
        lock = "file" if self.store.dialect == "sqlite" else prepared.located.workspace_id
        with self._guard:
            corridor = self._corridors.get(lock)
            if corridor is None:
                if self._closed:
                    raise NotPerformed(CLOSING)
                # A train over a network waits for others; one in this process only works, and is not to be cut short
                # for the time in which the machine let somebody else work.
                spent = time.thread_time if self.store.embedded else time.monotonic
                train = Train(self.store, self.bundles, self.ids, self._tell, spent=spent)
                corridor = self._corridors[lock] = Corridor(lock, self.store, train, self._watch)
            return corridor

    def _finish(self, prepared: Prepared, answer: Answered) -> Outcome:
        if isinstance(answer, Exception):
            if isinstance(answer, Unauthenticated):
                with self._guard:
                    self._located.pop(prepared.token_hash, None)
            raise answer
        operation = prepared.operation
        if operation is None or operation.fetch is None or not answer.performed or answer.repeated:
            return answer
        # The entry's time may be ahead of this process's clock: what it recorded must not lie in the future.
        caller, now = prepared.caller, max(self.clock(), prepared.at)
        try:
            if caller is None:  # asked again later: whoever it is by then
                with self.store.reading(self._fetch_timeout) as connection:
                    principals = standing.read_principals(connection, answer.workspace_id, [prepared.token_hash])
                    caller, now = principals.get(prepared.token_hash), self._now(connection, answer.workspace_id)
            bundle = self._bundle(answer.workspace_id)
        except (NotPerformed, SQLAlchemyError):
            return unavailable(answer)
        if caller is None:
            raise Unauthenticated(Unauthenticated.UNKNOWN)
        return fetch(
            self.store,
            prepared,
            answer,
            caller=caller,
            bundle=bundle,
            now=now,
            timeout_seconds=self._fetch_timeout,
            apart=self._recaller.recall if self._recaller is not None else None,
        )

    def _now(self, connection: Connection, workspace_id: str) -> Micros:
        """The time beside the corridor: never before the newest entry's."""
        head = entries.read_head(connection, workspace_id)
        return max(self.clock(), head.last_at if head is not None else 0)

    def _tell(self, kind: str, notice: Mapping[str, Any]) -> None:
        for handler in self._notice_handlers:
            handler(kind, notice)

    def _watch(self, calls: int) -> None:
        for watcher in self._train_watchers:
            watcher(calls)

    @property
    def waiting(self) -> int:
        """How many calls are queued in all corridors."""
        return sum(corridor.waiting for corridor in list(self._corridors.values()))

    def close(self) -> None:
        """Carry every queued call, then end; later calls are answered NotPerformed."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            corridors = list(self._corridors.values())
        for corridor in corridors:
            corridor.stop()
        if self._recaller is not None:
            self._recaller.close()  # who still asks it reads here
        for pool in (self._fetchers, self._locators, self._preparers, self._long_preparers, self._gatherers):
            pool.shutdown(wait=True)


def _forget(boarding: asyncio.Future[Any]) -> None:
    """Fetch the exception of a call whose caller has gone, so that it is not reported as lost."""
    if not boarding.cancelled():
        boarding.exception()


def _hash(token: str | None) -> str:
    if not token:
        raise Unauthenticated(Unauthenticated.NONE)
    return standing.hash_token(token)
