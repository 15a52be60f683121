"""`POST /v1/hooks/{client}`: a client's native payload in, its native answer out, one decision between.

Every answer to a client is a 200 in its own words, also where the token, the gateway or the payload is at fault: no
client reads a status code as a denial. What Guardhouse has no opinion on is answered with silence.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from guardhouse.errors import GuardhouseError, NotPerformed, Refusal, Unauthenticated
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.surfaces.hooks import clients, repairs
from guardhouse.surfaces.hooks.reading import Reading, TooMuch, Unreadable, read
from guardhouse.surfaces.hooks.recent import Recent
from guardhouse.surfaces.hooks.sessions import LOST, Ask, NotOpened, Sessions
from guardhouse.surfaces.http import HOOKS, Door, Receive, Scope, Send, bearer, headers_of, send_answer
from guardhouse.surfaces.limits import Disconnected, read_body

_log = logging.getLogger("guardhouse.hooks")

OPERATION = "check_tool"
_LOOP_BYTES = 16 * 1024
"""Payloads up to this size are read on the event loop; a longer one could hold up everybody else."""
SURFACE = "hook"
REPAIRS: Mapping[str, str] = {
    "unauthenticated": "guardhouse install {client}",
    "token_expired": "guardhouse install {client}",
    "token_revoked": "guardhouse install {client}",
    "revoked": "guardhouse install {client}",
    "session_expired": "guardhouse install {client}",
    "session_revoked": "guardhouse install {client}",
    "token_not_live": "guardhouse install {client}",
    "wrong_role": "guardhouse install {client}",
}
"""What a person runs when the cause is not the tool but the way of asking."""
_OWN_FAULTS = frozenset({"validation", "internal_error", "gate_error", "policy_error"})
"""Recorded refusals that judged nothing: they are told as faults, never as decisions."""


_DEFAULT_EVENTS = {
    "claude-code": "PreToolUse",
    "codex": "PreToolUse",
    "gemini": "BeforeTool",
    "cursor": "preToolUse",
    "copilot": "preToolUse",
    "opencode": "tool.execute.before",
}
"""In whose words a payload is answered whose event could not be read."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a client sent. `reading` is None where it cannot be read, and `why` says so; `large`: it is too much to be."""

    data: bytes
    reading: Reading | None = None
    why: str = ""
    large: bool = False
    oversized: bool = False


class Exchange:
    """An ASGI application below a door: hooks in, native answers out."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._patience = door.settings.request_timeout_seconds
        self._sessions = Sessions()
        self._recent = Recent(door.metrics.registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = str(scope["path"]).removeprefix(HOOKS)
        if client not in clients.CLIENTS:
            await self._door.refuse(send, "not_found", f"hooks are for {', '.join(clients.CLIENTS)}")
            return
        if scope["method"] != "POST":
            await self._door.refuse(send, "method_not_allowed", "use POST for hooks", (b"allow", b"POST"))
            return
        started = time.perf_counter()
        headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
        effect, code, event = "none", "performed", _DEFAULT_EVENTS[client]
        native: dict[str, Any] | None = None
        try:
            heard = await self._read(client, receive)
            reading = heard.reading
            if reading is None or reading.body is not None:
                event = reading.event if reading is not None else event
                question = heard.data if reading is None else orjson.dumps(reading.body)
                outcome = await self._ask(client, reading, question, scope, receive, oversized=heard.oversized)
                code = outcome.code
                effect = str(outcome.decision.effect) if outcome.decision else "none"
                headers.append((b"guardhouse-decision", outcome.decision_id.encode()))
                native = _native(client, event, outcome, heard)
                self._recent.note(client, time.perf_counter() - started)
        except Disconnected:
            return
        except GuardhouseError as error:
            code, said = error.code, error.message
            if isinstance(error, Unauthenticated):
                said = said.partition(": ")[0]  # what it says to do is for callers; a hook's own repair follows
            native = clients.answer(client, event, "block", unanswered(client, code, said))
        except Exception:  # noqa: BLE001  # whatever failed, the client must read a denial
            _log.exception("a hook of %s could not be answered", client)
            code = "internal_error"
            native = clients.answer(client, event, "block", unanswered(client, code, "Guardhouse failed to answer"))
        body = clients.SILENCE[client] if native is None else orjson.dumps(native)
        self._door.metrics.answered(f"hooks/{client}", effect, code, time.perf_counter() - started)
        await send_answer(send, 200, body, headers)

    async def _read(self, client: str, receive: Receive) -> _Heard:
        most = self._door.settings.max_body_bytes
        try:
            async with asyncio.timeout(self._patience):
                body = await read_body(receive, most, 0)
        except TimeoutError:
            raise NotPerformed("the payload did not arrive in time") from None
        if body.oversized:
            return _Heard(
                body.data, why=f"it is larger than {most} bytes, and those are the most", large=True, oversized=True
            )
        data = body.data or b"null"
        return (
            _understood(client, data)
            if len(data) <= _LOOP_BYTES
            else await asyncio.to_thread(_understood, client, data)
        )

    async def _ask(
        self, client: str, reading: Reading | None, question: bytes, scope: Scope, receive: Receive, *, oversized: bool
    ) -> Outcome:
        """Carry the question in its session. What could not be read is carried as it came, and refused there."""
        headers, repeated = headers_of(scope["headers"])
        address = self._door.address(scope, headers)
        request_id = f"req_{secrets.token_hex(13)}"

        async def ask(operation: str, body: bytes, bearer: str) -> Outcome:
            suppressed = self._door.silences.admit(bearer)
            if suppressed is None:
                self._door.metrics.suppressed()
                wait = self._door.silences.left(bearer)
                raise Refusal(self._door.silences.why(bearer)[0], f"too many calls; the next is heard in {wait} s")
            raw = RawCall(
                operation=operation,
                body=body,
                token=bearer,
                surface=SURFACE,
                address=address,
                request_id=request_id,
                oversized=oversized,
                suppressed=suppressed,
            )
            return await self._door.carriage.carry(raw, receive)

        try:
            token = _token(headers, repeated)
            if reading is None or not reading.session:
                return await ask(OPERATION, question, token)
            return await self._ask_in_session(client, reading, question, token, ask)
        except Unauthenticated:
            self._door.access.stranger(path=scope["path"], address=address, request_id=request_id)
            raise

    async def _ask_in_session(self, client: str, reading: Reading, question: bytes, token: str, ask: Ask) -> Outcome:
        """Ask with the session's own token. One that ended unnoticed is lent anew, once."""
        try:
            lent = await self._sessions.token(token, client, reading, ask)
            try:
                outcome = await ask(OPERATION, question, lent)
                if outcome.code not in LOST:
                    return outcome
            except Unauthenticated:
                pass
            self._sessions.forget(token, client, reading)
            lent = await self._sessions.token(token, client, reading, ask)
        except NotOpened as refused:
            return refused.outcome
        return await ask(OPERATION, question, lent)


def _understood(client: str, data: bytes) -> _Heard:
    try:
        return _Heard(data, read(client, orjson.loads(data)))
    except Unreadable as fault:
        return _Heard(data, why=str(fault), large=isinstance(fault, TooMuch))
    except (ValueError, RecursionError):
        return _Heard(data, why="the client's payload is no JSON")


def _token(headers: Mapping[bytes, str], repeated: set[bytes]) -> str:
    token = None if b"authorization" in repeated else bearer(headers.get(b"authorization", ""))
    if token is None:
        raise Unauthenticated("the hook sent no token")
    return token


def _native(client: str, event: str, outcome: Outcome, heard: _Heard) -> dict[str, Any] | None:
    result = outcome.result or {}
    large = _too_large(outcome, heard)
    if large:
        return clients.answer(client, event, "block", large)
    if heard.reading is None and outcome.code in ("performed", "validation"):
        told = unanswered(client, "validation", f"its payload could not be read: {heard.why}", outcome.decision_id)
        return clients.answer(client, event, "block", told)
    if outcome.performed:
        if result.get("enforced") is False or (outcome.decision is not None and not outcome.decision.enforced):
            return None
        verdict = str(result.get("verdict", "block"))
        if verdict == "warn" and outcome.decision is not None and outcome.decision.mode == "observe":
            return None
        if verdict == "warn":
            noted = _noted(result, outcome.decision_id)
            return clients.answer(client, event, verdict, noted) if noted else None
        if verdict == "ask" and result.get("approval_state") == "refused":
            verdict = "block"  # a person said no; the one who sits at the client is not asked over their head
        return clients.answer(client, event, verdict, str(result.get("reason", "")))
    if outcome.code in REPAIRS or outcome.code in _OWN_FAULTS:
        return clients.answer(
            client, event, "block", unanswered(client, outcome.code, outcome.message, outcome.decision_id)
        )
    # A policy's question too: who may answer it is the policy's to say, so a client never asks whoever sits at it.
    return clients.answer(client, event, "block", repairs.denied(outcome))


_LONG = "should have at most"
"""What a field's fault says where only its length is wrong."""


def _too_large(outcome: Outcome, heard: _Heard) -> str:
    """What is told of a use of a tool that is too large to be examined; empty for any other.

    The limits are deliberate: what a gateway reads (`max_body_bytes`), what an operation's field holds, and the
    `payload_bytes` of the agent's profile, the smallest and the only one that a person would raise.
    """
    if outcome.code not in ("performed", "validation", "payload_too_large"):
        return ""
    faults = [one for one in outcome.error.get("fields", ()) if _LONG in one["problem"]]
    person = "do it themselves"
    if heard.large:
        cause = heard.why
    elif faults:
        cause = f"`{faults[0]['field']}` {faults[0]['problem']}"
    elif outcome.code == "payload_too_large":
        cause = outcome.message
        person += ", or raise `payload_bytes` of its profile in `profiles.yaml` and run `guardhouse policy activate`"
    else:
        return ""
    return (
        f"Guardhouse blocked this (payload_too_large, decision {outcome.decision_id}): it is too large to be examined "
        f"whole, and what was not examined is not let through: {cause}. Do it in smaller parts, each below that: "
        f"several files, or one edit after another. Where that cannot be, tell the person, who can {person}."
    )


def _noted(result: Mapping[str, Any], decision_id: str) -> str:
    """What a person is told of a tool that runs although a rule caught it; empty when none is named."""
    for one in result.get("violations", ()):
        return f"Guardhouse let this run and noted it ({one.get('rule_id', '')}, decision {decision_id}): {one.get('reason', '')}"
    return ""


def unanswered(client: str, code: str, message: str, decision_id: str = "") -> str:
    """The reason of a denial whose cause is not the tool: the cause, and the person's repair command."""
    repair = REPAIRS.get(code, "guardhouse doctor").format(client=client)
    named = f"{code}, decision {decision_id}" if decision_id else code
    return (
        f"Guardhouse could not be asked about this ({named}): {message.rstrip('.')}. So the tool was not let run. "
        f"Do not try another way: tell the person, who repairs it with `{repair}`."
    )
