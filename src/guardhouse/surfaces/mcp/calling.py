"""Calling: from what an MCP client sent to a `RawCall`, and from an `Outcome` to what its model reads."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from guardhouse.catalog import Catalog
from guardhouse.errors import GuardhouseError, Unauthenticated
from guardhouse.gateway.offer import Stood
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.surfaces import problem
from guardhouse.surfaces.access import AccessLog
from guardhouse.surfaces.carrying import Carriage
from guardhouse.surfaces.metrics import Metrics

_log = logging.getLogger("guardhouse.mcp")

SURFACE = "mcp"
IDEMPOTENCY_KEY = "guardhouse/idempotency-key"
APPROVAL = "guardhouse/approval"
"""The keys of a request's `_meta` that say what the headers of the HTTP door say."""

_NO_KEY = " "
"""Stands for a key that is no text: the gateway refuses it, and records that."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who speaks on a connection: a bearer token, where from, and which tool set is shown."""

    token: str = field(repr=False)
    address: str = ""
    tools: str = "core"


@dataclass(frozen=True, slots=True)
class House:
    """What the MCP door asks of the rest: who carries, who stands how, and where it is noted.

    `stood` tells how a token stands now, leaving no entry; it blocks and is asked on a thread.
    `most` is the largest body of a call in bytes.
    """

    catalog: Catalog
    carriage: Carriage
    stood: Callable[[str], Stood]
    most: int
    metrics: Metrics | None = None
    access: AccessLog = field(default_factory=AccessLog)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one call: the result or the error envelope, and what the ledger names it."""

    operation: str
    code: str
    body: Mapping[str, Any]
    meta: Mapping[str, str]

    @property
    def performed(self) -> bool:
        """Whether the effect happened."""
        return self.code == "performed"


async def carry(
    house: House,
    caller: Caller,
    operation: str,
    body: bytes,
    *,
    meta: Mapping[str, Any] | None = None,
    oversized: bool = False,
) -> Answered:
    """Carry one call and say what came of it. Raises nothing but cancellation."""
    started = time.perf_counter()
    request_id = f"req_{secrets.token_hex(13)}"
    effect = "none"
    notes = {"guardhouse/request": request_id}
    try:
        suppressed = house.carriage.silences.admit(caller.token)
        if suppressed is None:
            if house.metrics is not None:
                house.metrics.suppressed()
            code, why = house.carriage.silences.why(caller.token)
            wait = house.carriage.silences.left(caller.token)
            extra = {"retry_after_seconds": wait, "suppressed": True}
            answer = problem.envelope(code, why, request_id=request_id, extra=extra)
        else:
            raw = RawCall(
                operation=operation,
                body=body[: house.most],
                token=caller.token,
                surface=SURFACE,
                address=caller.address,
                request_id=request_id,
                idempotency_key=_text(meta, IDEMPOTENCY_KEY),
                approval_id=_text(meta, APPROVAL),
                oversized=oversized or len(body) > house.most,
                suppressed=suppressed,
            )
            outcome = await house.carriage.carry(raw, _stays)
            code, answer = outcome.code, _of(outcome, request_id)
            effect = str(outcome.decision.effect) if outcome.decision else "none"
            notes["guardhouse/decision"] = outcome.decision_id
            if outcome.repeated:
                notes["guardhouse/repeats"] = outcome.repeated
    except Unauthenticated as error:
        house.access.stranger(path="/mcp", address=caller.address, request_id=request_id)
        code, answer = error.code, problem.of_error(error, request_id)
    except GuardhouseError as error:
        code, answer = error.code, problem.of_error(error, request_id)
    except Exception:  # noqa: BLE001  # a caller gets the envelope whatever failed
        _log.exception("the MCP door failed, request %s", request_id)
        code = "internal_error"
        answer = problem.envelope(code, "Guardhouse failed to answer; nothing more is known", request_id=request_id)
    if house.metrics is not None:
        house.metrics.answered(operation, effect, code, time.perf_counter() - started)
    return Answered(operation, code, answer, notes)


def body_of(arguments: Any) -> bytes:
    """Arguments as the JSON text that the gateway validates. What JSON cannot say is left for it to refuse."""
    return json.dumps(arguments, separators=(",", ":")).encode()


def _of(outcome: Outcome, request_id: str) -> dict[str, Any]:
    if outcome.performed:
        return dict(outcome.result or {}) | {"decision_id": outcome.decision_id}
    return problem.of_outcome(outcome, request_id)


def _text(meta: Mapping[str, Any] | None, key: str) -> str | None:
    value = (meta or {}).get(key)
    return value or None if value is None or isinstance(value, str) else _NO_KEY


async def _stays() -> MutableMapping[str, Any]:
    """What a connection without a stream of its own hears of its caller: nothing, for as long as the call lasts."""
    await asyncio.Future()
    raise AssertionError("unreachable")
