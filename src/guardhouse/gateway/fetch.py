"""Fetch: read an answer after the commit, on a read-only connection, at the tree size its entry permits."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from guardhouse.bundle import Bundle
from guardhouse.catalog import Apart, Reader
from guardhouse.errors import Refusal
from guardhouse.gateway.prepare import Prepared
from guardhouse.gateway.turns import resting
from guardhouse.model.answer import Outcome
from guardhouse.model.facts import Principal
from guardhouse.model.instants import Micros
from guardhouse.storage.store import Store

_log = logging.getLogger("guardhouse.fetch")
_LEAST_SECONDS = 0.05
"""What a reading has when others have used up its time: nobody is told that it took too long who has not tried."""
_COUNTS_SECONDS = 1.0
"""Less than this is not taken off a reading's time: PostgreSQL need not be told a time that is the same as ever."""


def fetch(
    store: Store,
    prepared: Prepared,
    outcome: Outcome,
    *,
    caller: Principal,
    bundle: Bundle,
    now: Micros,
    timeout_seconds: float,
    apart: Apart | None = None,
) -> Outcome:
    """The outcome with its answer read, for an operation that declares a fetch and was permitted.

    The entry stands whatever happens here: it records the permission and the query, and its sequence
    is the tree size that may be seen. Whoever asked `apart` in vain reads here in the time that is left.
    """
    operation = prepared.operation
    if operation is None or operation.fetch is None or not outcome.performed:
        return outcome
    begun = time.monotonic()
    open_now: list[Connection] = []
    try:
        with ExitStack() as held, resting():

            def opened() -> Connection:
                if not open_now:
                    open_now.append(held.enter_context(store.reading(_left(timeout_seconds, begun))))
                return open_now[0]

            reader = Reader(
                opened=opened,
                workspace_id=outcome.workspace_id,
                tree_size=outcome.sequence,
                now=now,
                caller=caller,
                bundle=bundle,
                timeout_seconds=timeout_seconds,
                apart=apart,
            )
            answer = operation.fetch(reader, prepared.ask)
    except Refusal as refusal:
        return replace(outcome, code=refusal.code, message=refusal.message, result=None, error=dict(refusal.extra))
    except (SQLAlchemyError, TimeoutError) as error:
        _log.error(
            "the answer to decision %s could not be read (%s)", outcome.decision_id, type(error).__name__
        )  # a traceback may quote the query
        return unavailable(outcome)
    return replace(outcome, result=answer.model_dump(mode="json"))


def _left(seconds: float, begun: float) -> float:
    spent = time.monotonic() - begun
    return seconds if spent < _COUNTS_SECONDS else max(_LEAST_SECONDS, seconds - spent)


def unavailable(outcome: Outcome) -> Outcome:
    """The outcome of a permitted question whose answer could not be read. The entry stands."""
    return replace(
        outcome,
        code="answer_unavailable",
        message="the question was permitted and recorded, but reading the answer failed or took too long; "
        "narrow it or ask again",
        result=None,
    )
