"""The HTTP door: `POST /v1/{operation}` turns a request into a `RawCall` and an `Outcome` into an answer.

It is one plain ASGI application. The body goes to the gateway as received, since a known principal's
call leaves its entry also when it is malformed; typed routes exist in the OpenAPI document, which is
made from the catalog. Only what is no call at all (no token, a wrong method, a request that never
arrived whole) is answered here without an entry.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from guardhouse.errors import GuardhouseError, OutcomeUnknown, Unauthenticated
from guardhouse.model.answer import Outcome
from guardhouse.model.call import RawCall
from guardhouse.model.ids import random_bytes
from guardhouse.settings import Settings
from guardhouse.surfaces import problem
from guardhouse.surfaces.access import AccessLog
from guardhouse.surfaces.carrying import Carriage, Carrier
from guardhouse.surfaces.endpoint import Endpoint
from guardhouse.surfaces.limits import Disconnected, Proxies, arrived, read_body
from guardhouse.surfaces.metrics import CONTENT_TYPE, Metrics
from guardhouse.surfaces.openapi import document
from guardhouse.surfaces.silences import Silences
from guardhouse.surfaces.waiting import Watch

_log = logging.getLogger("guardhouse.http")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]{1,200})"')
_HEADER_SAFE = re.compile(r"[\x21-\x7e]*\Z")
_CLOSE = (b"connection", b"close")
HOOKS = "/v1/hooks/"
"""Where clients' hooks are answered in their own words; see `surfaces.hooks`."""
TASKS = "/api/v1/tasks/"
"""`GET /api/v1/tasks/{task_id}` is `get_task` where schedulers of other coordinators look for it."""
PLAYBOOK = "/v1/get_playbook"
"""Also read with GET, so that `If-None-Match` and 304 mean what RFC 9110 says; with POST a condition is a field of the body."""
_METHODS = {
    "POST": "use POST here, with the operation's input as a JSON object; `/openapi.json` describes it",
    "GET": "use GET here: the path says everything",
}
_WANTED = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"guardhouse-approval",
        b"idempotency-key",
        b"if-none-match",
        b"x-forwarded-for",
        b"x-request-id",
    }
)


class _NoCall(Exception):
    """A request that never became a call; answered with a code of our table and no entry."""

    def __init__(self, code: str, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.code, self.message, self.headers = code, message, headers


class Door:
    """An ASGI application over a gateway.

    `ready` tells how the ground stands (name -> state) and may block; it is asked on a thread.
    `watch(workspace_id, approval_id)` gives an approval's state without leaving an entry. `mounts`
    maps a path prefix such as `/mcp` to another ASGI application.
    """

    def __init__(
        self,
        gateway: Carrier,
        settings: Settings,
        *,
        ready: Callable[[], Mapping[str, str | int]] | None = None,
        watch: Watch | None = None,
        endpoint: Endpoint | None = None,
        metrics: Metrics | None = None,
        silences: Silences | None = None,
        mounts: Mapping[str, App] | None = None,
    ) -> None:
        self.gateway = gateway
        self.settings = settings
        self.endpoint = endpoint
        self.metrics = metrics or Metrics(gateway.catalog)
        self.carriage = Carriage(gateway, settings.request_timeout_seconds, silences=silences, watch=watch)
        self.silences = self.carriage.silences
        self.access = AccessLog()
        self._ready = ready or (lambda: {"gateway": "ok"})
        self._mounts = dict(mounts or {})
        self._proxies = Proxies(settings.trusted_proxies)
        self._most = settings.max_body_bytes
        self._patience = settings.request_timeout_seconds
        self._openapi: asyncio.Future[bytes] | None = None
        self._cold: dict[str, Callable[[Scope], Awaitable[tuple[int, bytes, bytes]]]] = {
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/metrics": self._metrics_page,
            "/openapi.json": self._openapi_page,
        }

    def mount(self, prefix: str, app: App) -> None:
        """Let another application answer at `prefix` and below it."""
        self._mounts[prefix] = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        path: str = scope["path"]
        if path.startswith("/v1/") and len(path) > 4 and not path.startswith(HOOKS):
            reads = path == PLAYBOOK and scope["method"] == "GET"
            await self._v1(path[4:], scope, receive, send, asked=_unless_known(scope) if reads else None)
            return
        if path.startswith(TASKS) and len(path) > len(TASKS):
            task_id = json.dumps({"task_id": path[len(TASKS) :]}).encode()
            await self._v1("get_task", scope, receive, send, asked=task_id)
            return
        page = self._cold.get(path)
        if page is not None:
            if scope["method"] in ("GET", "HEAD"):
                status, kind, body = await page(scope)
                await send_answer(send, status, body, [(b"content-type", kind), (b"cache-control", b"no-store")])
            else:
                await self.refuse(
                    send,
                    "method_not_allowed",
                    "nothing is changed at this path: use GET; operations are asked for with POST below `/v1/`",
                    (b"allow", b"GET, HEAD"),
                )
            return
        for prefix, app in self._mounts.items():
            if path == prefix or path.startswith(prefix + "/"):
                await app(scope, receive, send)
                return
        await self.refuse(
            send,
            "not_found",
            "there is nothing at this path; operations live under `/v1/`, and `/openapi.json` lists them all",
        )

    async def _v1(
        self, operation: str, scope: Scope, receive: Receive, send: Send, *, asked: bytes | None = None
    ) -> None:
        """Carry one call. `asked` is the body where the path has said everything; then the request is a GET."""
        started = time.perf_counter()
        headers, repeated = headers_of(scope["headers"])
        asked_id = headers.get(b"x-request-id", "")
        request_id = asked_id if _REQUEST_ID.match(asked_id) else f"req_{random_bytes(13).hex()}"
        effect, extra = "none", []
        unchanged = False
        try:
            token, suppressed = self._enter(
                operation, scope["method"], headers, repeated, "POST" if asked is None else "GET"
            )
            outcome = await self._carry(operation, token, suppressed, headers, request_id, scope, receive, asked)
            code = outcome.code
            effect = str(outcome.decision.effect) if outcome.decision else "none"
            extra.append((b"guardhouse-decision", outcome.decision_id.encode()))
            if outcome.repeated:
                extra.append((b"guardhouse-repeats", outcome.repeated.encode()))
            if outcome.performed:
                body = dict(outcome.result or {}) | {"decision_id": outcome.decision_id}
                if "etag" in body:
                    extra.append((b"etag", f'"{body["etag"]}"'.encode()))
                    known = _tags(headers.get(b"if-none-match", "")) if asked is not None else ()
                    unchanged = body["etag"] in known or "*" in known
            else:
                body = problem.of_outcome(outcome, request_id)
            if outcome.code == "payload_too_large":
                extra.append(_CLOSE)
        except Disconnected:
            return
        except _NoCall as refused:
            code, waits = refused.code, dict(refused.headers).get(b"retry-after")
            extra.extend(header for header in refused.headers if header[0] != b"retry-after")
            told = {"retry_after_seconds": int(waits), "suppressed": True} if waits else {}
            body = problem.envelope(code, refused.message, request_id=request_id, extra=told)
        except Unauthenticated as error:
            code = error.code
            self.access.stranger(path=scope["path"], address=self.address(scope, headers), request_id=request_id)
            extra.append((b"www-authenticate", b'Bearer realm="guardhouse"'))
            body = problem.of_error(error, request_id)
        except GuardhouseError as error:
            code = error.code
            body = problem.of_error(error, request_id)
            extra.extend(_decided(error))
        except (
            asyncio.CancelledError
        ):  # only by a server whose grace is over, which then waits for this answer to leave
            ended = OutcomeUnknown(
                "the gateway ended before the answer came; ask `get_outcome` with the idempotency key, once it is back"
            )
            code, body = ended.code, problem.of_error(ended, request_id)
        except Exception:  # noqa: BLE001  # a caller gets the envelope whatever failed
            _log.exception("the HTTP door failed, request %s", request_id)
            code = "internal_error"
            body = problem.envelope(code, "Guardhouse failed to answer; nothing more is known", request_id=request_id)
        row = problem.row(code)
        if row.retryable and "error" in body:
            extra.append(_after(body["error"]["retry_after_seconds"]))
        extra.append((b"guardhouse-request", request_id.encode()))
        self.metrics.answered(operation, effect, code, time.perf_counter() - started)
        if unchanged:
            await send({"type": "http.response.start", "status": 304, "headers": extra})
            await send({"type": "http.response.body", "body": b""})
            return
        extra.append(_JSON)
        await send_answer(send, row.status, orjson.dumps(body), extra)

    def _enter(
        self, operation: str, method: str, headers: Mapping[bytes, str], repeated: set[bytes], wanted: str
    ) -> tuple[str, int]:
        """The token, and the suppressed calls that this call reports. Raises when there is no call to carry."""
        if method != wanted:
            allowed = b"GET, POST" if operation == PLAYBOOK[4:] else wanted.encode()
            raise _NoCall("method_not_allowed", _METHODS[wanted], (b"allow", allowed))
        token = None if b"authorization" in repeated else bearer(headers.get(b"authorization", ""))
        if token is None:
            raise Unauthenticated(Unauthenticated.NONE)
        suppressed = self.silences.admit(token)
        if suppressed is None:
            self.metrics.suppressed()
            raise _NoCall(*self.silences.why(token), _after(self.silences.left(token)))
        return token, suppressed

    async def _carry(
        self,
        operation: str,
        token: str,
        suppressed: int,
        headers: Mapping[bytes, str],
        request_id: str,
        scope: Scope,
        receive: Receive,
        asked: bytes | None,
    ) -> Outcome:
        """Read the body, hand the call over, and keep the books of suppressed calls exact."""
        try:
            declared = headers.get(b"content-length", "0")
            try:
                if arrived(receive):
                    body = await read_body(receive, self._most, declared_length(declared))
                else:
                    async with asyncio.timeout(self._patience):
                        body = await read_body(receive, self._most, declared_length(declared))
            except TimeoutError:
                raise _NoCall(
                    "request_timeout",
                    f"the body did not arrive whole within {self._patience:g} seconds: send it again",
                    _CLOSE,
                ) from None
            raw = RawCall(
                operation=operation,
                body=body.data if asked is None else asked,
                token=token,
                surface="http",
                address=self.address(scope, headers),
                request_id=request_id,
                idempotency_key=headers.get(b"idempotency-key") or None,
                approval_id=headers.get(b"guardhouse-approval") or None,
                oversized=body.oversized,
                suppressed=suppressed,
                media_type=""
                if not body.data or asked is not None or _is_json(headers.get(b"content-type", ""))
                else "other",
            )
        except BaseException:
            self.silences.give_back(token, suppressed)
            raise
        return await self.carriage.carry(raw, receive)

    def address(self, scope: Scope, headers: Mapping[bytes, str]) -> str:
        """The caller's network address, as far as it is believed."""
        client = scope.get("client")
        peer = str(client[0]) if client else ""
        return self._proxies.client(peer, headers.get(b"x-forwarded-for", "")) if self._proxies else peer

    async def refuse(self, send: Send, code: str, message: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer what is no call with the envelope, and no entry."""
        request_id = f"req_{random_bytes(13).hex()}"
        body = orjson.dumps(problem.envelope(code, message, request_id=request_id))
        sent = [*headers, _JSON, (b"guardhouse-request", request_id.encode())]
        await send_answer(send, problem.status(code), body, sent)

    async def _health(self, scope: Scope) -> tuple[int, bytes, bytes]:
        answer = {"status": "ok"}
        if self.endpoint is not None:
            answer["instance"] = self.endpoint.instance
            asked = parse_qs(scope["query_string"].decode("latin-1")).get("challenge", [])
            if len(asked) == 1 and _REQUEST_ID.match(asked[0]):
                answer["proof"] = self.endpoint.proof(asked[0])
        return 200, b"application/json", orjson.dumps(answer)

    async def _readiness(self, _scope: Scope) -> tuple[int, bytes, bytes]:
        try:
            states: dict[str, str | int] = dict(await asyncio.wait_for(asyncio.to_thread(self._ready), 5))
        except Exception as error:  # noqa: BLE001  # whatever fails here, the answer is: not ready
            _log.warning("readiness cannot be told: %s", type(error).__name__)
            states = {"database": "unreachable"}
        ready = all(states.get(name, "ok") == "ok" for name in ("gateway", "database", "migrations", "law"))
        answer = {"status": "ready" if ready else "not_ready"} | states
        return 200 if ready else 503, b"application/json", orjson.dumps(answer)

    async def _metrics_page(self, _scope: Scope) -> tuple[int, bytes, bytes]:
        return 200, CONTENT_TYPE, await asyncio.to_thread(self.metrics.text)

    async def _openapi_page(self, _scope: Scope) -> tuple[int, bytes, bytes]:
        if self._openapi is None:
            # It takes a while to build: on a thread, so that calls are carried meanwhile; once, whoever asks meanwhile.
            loop = asyncio.get_running_loop()
            self._openapi = loop.run_in_executor(None, lambda: orjson.dumps(document(self.gateway.catalog)))
        return 200, b"application/json", await asyncio.shield(self._openapi)


def headers_of(sent: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, str], set[bytes]]:
    """The headers that matter here, and which of them came more than once (joined as RFC 9110 5.3 says)."""
    found: dict[bytes, str] = {}
    repeated: set[bytes] = set()
    for name, value in sent:
        if name in _WANTED:
            text = value.decode("latin-1")
            if name in found:
                repeated.add(name)
                text = f"{found[name]}, {text}"
            found[name] = text
    return found, repeated


def _unless_known(scope: Scope) -> bytes:
    """The body of `get_playbook` for a GET: with the tag that the caller has, so that an unchanged text is not made."""
    known = [tag for tag in _tags(headers_of(scope["headers"])[0].get(b"if-none-match", "")) if tag != "*"]
    return json.dumps({"if_none_match": known[0]} if len(known) == 1 else {}).encode()


def _tags(value: str) -> tuple[str, ...]:
    """The entity tags of `If-None-Match` (RFC 9110 13.1.2), compared weakly; what is no such list names none."""
    return ("*",) if value.strip() == "*" else tuple(_TAG.findall(value))


def bearer(value: str) -> str | None:
    """The token of an RFC 6750 header, or None."""
    scheme, _, token = value.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token and _HEADER_SAFE.match(token) else None


def declared_length(length: str) -> int:
    """A Content-Length as a number; what is no plain number of sane length counts as not declared."""
    return int(length) if length.isdecimal() and length.isascii() and len(length) < 16 else 0


def _is_json(value: str) -> bool:
    kind = value.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _after(seconds: int) -> tuple[bytes, bytes]:
    return (b"retry-after", str(seconds).encode())


def _decided(error: GuardhouseError) -> list[tuple[bytes, bytes]]:
    decision = str(error.extra.get("decision_id", ""))
    return [(b"guardhouse-decision", decision.encode())] if decision else []


async def send_answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Send a whole answer at once."""
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
