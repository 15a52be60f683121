"""Streamable HTTP: what stands before the SDK's sessions at `/mcp`.

Where a request comes from, whose it is, which tool set it wants and how large it is are settled here;
sessions, protocol versions and JSON-RPC are the SDK's. Answers are single JSON documents: this server
never speaks first, so there is no stream to open, and `GET` is answered 405 as the protocol allows.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from guardhouse.errors import GuardhouseError, SettingsFault, Unauthenticated
from guardhouse.gateway.crowding import MOST_VALUES, crowded
from guardhouse.surfaces import problem
from guardhouse.surfaces.http import Door, Message, Receive, Scope, Send, bearer, declared_length
from guardhouse.surfaces.limits import Disconnected, read_body
from guardhouse.surfaces.mcp import refusing, sets, twice
from guardhouse.surfaces.mcp.calling import Caller, House, carry
from guardhouse.surfaces.mcp.seats import MOST_A_TOKEN, Seats
from guardhouse.surfaces.mcp.server import STATUS, UNAUTHENTICATED, Context, Desk, refused_call

CALLER = "guardhouse.caller"
"""Where a request's caller stands in its ASGI scope."""

ENVELOPE_BYTES = 65_536
"""What a message may hold around a call's arguments, which may be written longer than they are (escapes, spaces)."""

_MOST_SESSIONS = 2_000
_METHODS = ((b"allow", b"POST, DELETE"),)
_SESSION = b"mcp-session-id"
_WANTED = {b"authorization", b"content-length", b"host", b"origin", b"x-forwarded-for", _SESSION}


class Streamable:
    """An ASGI application over one desk. `run` MUST be under way while it answers."""

    def __init__(self, door: Door, house: House, knows: Callable[[str], bool]) -> None:
        settings = door.settings
        self._door = door
        self._house = house
        self._knows = knows
        self._default = sets.named(settings.mcp_tools, "GUARDHOUSE_MCP_TOOLS")
        self._places = Places(settings.host, settings.mcp_origins)
        self._most = 2 * settings.max_body_bytes + ENVELOPE_BYTES
        self._patience = settings.request_timeout_seconds
        self._seats = Seats()
        self._sessions = StreamableHTTPSessionManager(
            Desk(house, _caller).server(),
            json_response=True,
            max_request_body_size=self._most + 1,
            max_sessions=_MOST_SESSIONS,
        )

    async def run(self, up: asyncio.Event) -> None:
        """Keep sessions until cancelled."""
        async with self._sessions.run():
            up.set()
            await asyncio.Future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, repeated = _headers(scope["headers"])
        if scope["path"].rstrip("/") != "/mcp":
            await _refuse(send, "not_found", "the MCP door is at `/mcp`")
        elif scope["method"] not in ("POST", "DELETE"):
            await _refuse(
                send, "method_not_allowed", "use POST; this server opens no stream of its own", headers=_METHODS
            )
        elif (strange := self._places.strange(headers, repeated)) is not None:
            await _refuse(send, "origin_refused", strange[1], status=strange[0])
        else:
            try:
                await self._admitted(scope, headers, repeated, receive, send)
            except Disconnected:
                return
            except SettingsFault as error:
                await _refuse(send, "validation", error.message, status=400)
            except GuardhouseError as error:
                await _refuse(send, error.code, error.message)

    async def _admitted(
        self, scope: Scope, headers: Mapping[bytes, str], repeated: set[bytes], receive: Receive, send: Send
    ) -> None:
        asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("tools", [])
        tools = sets.named(asked[-1], "`?tools=`") if asked else self._default
        address = self._door.address(scope, headers)
        token = None if b"authorization" in repeated else bearer(headers.get(b"authorization", ""))
        if token is None or not await self._known(token):
            self._house.access.stranger(path="/mcp", address=address, request_id=f"req_{secrets.token_hex(13)}")
            words = Unauthenticated.UNKNOWN if token else Unauthenticated.NONE
            await _refuse(send, "unauthenticated", words)
            return
        caller = Caller(token, address, tools)
        inner = dict(scope)
        inner[CALLER] = caller
        # The SDK refuses a session to any other token than the one that opened it.
        inner["user"] = AuthenticatedUser(AccessToken(token=token, client_id=token, scopes=[]))
        if scope["method"] == "POST":
            body = await self._body(headers, receive)
            if body is None:
                # Whatever it would have asked: a known principal's call leaves its entry.
                answered = await carry(self._house, caller, "", b"", oversized=True)
                decision = answered.meta.get("guardhouse/decision", "")
                words = f"a message has at most {self._most} bytes"
                await _refuse(send, "payload_too_large", words, decision_id=decision)
                return
            if crowded(body):
                answered = await carry(self._house, caller, "", body)
                decision = answered.meta.get("guardhouse/decision", "")
                words = f"a message holds at most {MOST_VALUES} values"
                await _refuse(send, "validation", words, status=400, decision_id=decision)
                return
            message = twice.named_twice(body)
            if message is not None:
                await self._refuse_twice(caller, message, body, send)
                return
            receive = _again(body, receive)
        await self._seated(caller, headers.get(_SESSION, ""), inner, receive, send)

    async def _refuse_twice(self, caller: Caller, message: Mapping[str, Any], body: bytes, send: Send) -> None:
        """A message that names a field twice, so that two readers could read two things in it. A call leaves its entry."""
        if message.get("method") != "tools/call":
            await _refuse(send, "validation", twice.WORDS, status=400)
            return
        result = await refused_call(self._house, caller, message, body)
        number = message.get("id")
        told = {"jsonrpc": "2.0", "id": number if isinstance(number, (str, int)) else None, "result": result}
        await _answer(send, 200, told)

    async def _seated(self, caller: Caller, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the SDK's sessions, of which a token has at most so many: the one idle longest gives way."""
        if not session and scope["method"] == "POST":
            surplus = self._seats.surplus(caller.token)
            if surplus is None:
                words = f"this token has {MOST_A_TOKEN} sessions open, and all of them are busy; end one of them"
                await _refuse(send, "limit_reached", words, status=429)
                return
            if surplus:
                self._seats.closed(caller.token, surplus)
                await self._sessions.handle_request(*_ending(scope, surplus))
        elif scope["method"] == "DELETE":
            self._seats.closed(caller.token, session)

        async def noting(message: Message) -> None:
            if not session and message["type"] == "http.response.start" and message["status"] < 400:
                for name, value in message.get("headers", ()):
                    if name.lower() == _SESSION:
                        self._seats.opened(caller.token, value.decode("latin-1"))
            await send(message)

        self._seats.enter(caller.token, session)
        try:
            await self._sessions.handle_request(scope, receive, _restated(scope, noting))
        finally:
            self._seats.leave(session)

    async def _known(self, token: str) -> bool:
        if self._knows(token):
            return True
        try:
            await asyncio.to_thread(self._house.stood, token)
        except Unauthenticated:
            return False
        return True

    async def _body(self, headers: Mapping[bytes, str], receive: Receive) -> bytes | None:
        """The whole body, or None when it is too long."""
        try:
            async with asyncio.timeout(self._patience):
                body = await read_body(receive, self._most, declared_length(headers.get(b"content-length", "0")))
        except TimeoutError:
            raise _Late("the body did not arrive in time") from None
        return None if body.oversized else body.data


class _Late(GuardhouseError):
    code = "request_timeout"


class Places:
    """Which `Host` and `Origin` are believed. A browser that was led here by another page's name is refused.

    On a loopback address only loopback names are hosts. Anywhere, an `Origin` (which only browsers
    send) must be a loopback one on a loopback address, or be listed.
    """

    def __init__(self, host: str, origins: str) -> None:
        self._loopback = _is_loopback(host)
        self._origins = frozenset(_origin(item) for item in origins.split(",") if item.strip())
        self._hosts = frozenset(urlsplit(origin).netloc for origin in self._origins)

    def strange(self, headers: Mapping[bytes, str], repeated: Iterable[bytes]) -> tuple[int, str] | None:
        """The HTTP status and the reason when a request comes from where none should; None when it may go on."""
        if {b"host", b"origin"} & set(repeated):
            return 400, "send one `Host` and at most one `Origin`"
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if self._loopback and not _is_loopback(_name(f"//{host}")) and host.lower() not in self._hosts:
            return 421, "this address is for programs on this machine: call it as `127.0.0.1` or `localhost`"
        if origin is None or _origin(origin) in self._origins or (self._loopback and _is_loopback(_name(origin))):
            return None
        return 403, "pages of this origin may not call; an operator lists origins in `GUARDHOUSE_MCP_ORIGINS`"


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _origin(text: str) -> str:
    return text.strip().lower().rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _caller(ctx: Context) -> Caller:
    assert ctx.request is not None
    caller: Caller = ctx.request.scope[CALLER]
    return caller


def _headers(sent: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, str], set[bytes]]:
    found: dict[bytes, str] = {}
    repeated: set[bytes] = set()
    for name, value in sent:
        if name in _WANTED:
            if name in found and name != b"x-forwarded-for":
                repeated.add(name)
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found, repeated


def _again(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more; then whatever comes after it."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _ending(scope: Scope, session: str) -> tuple[Scope, Receive, Send]:
    """The request by which a client of the same token would end a session; nobody hears the answer."""
    headers = [(name, value) for name, value in scope["headers"] if name in (b"host", b"mcp-protocol-version")]

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def unheard(_message: Message) -> None:
        return

    ending = {**scope, "method": "DELETE", "headers": [*headers, (_SESSION, session.encode("latin-1"))]}
    return ending, nothing, unheard


def _restated(scope: Scope, send: Send) -> Send:
    """Send with the HTTP status that a handler left in the scope, where the SDK's would be 200."""

    async def restate(message: Message) -> None:
        status = scope.get(STATUS)
        if status is not None and message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if status == 401:
                headers.append((b"www-authenticate", b'Bearer realm="guardhouse"'))
            message = {**message, "status": status, "headers": headers}
        await send(message)

    return restate


async def _refuse(
    send: Send,
    code: str,
    message: str,
    *,
    status: int | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    decision_id: str = "",
) -> None:
    """Answer what never became a JSON-RPC request: an error without an id, which clients show as it is."""
    envelope = problem.envelope(code, message, decision_id=decision_id)
    answered = status or problem.status(code)
    envelope["error"]["status"] = answered
    error = {
        "code": UNAUTHENTICATED if answered == 401 else -32600,
        "message": refusing.told("", envelope),
        "data": envelope,
    }
    sent = [*headers]
    if answered == 401:
        sent.append((b"www-authenticate", b'Bearer realm="guardhouse"'))
    wait = envelope["error"].get("retry_after_seconds")
    if wait is not None:
        sent.append((b"retry-after", str(wait).encode()))
    if code == "payload_too_large":
        sent.append((b"connection", b"close"))
    await _answer(send, answered, {"jsonrpc": "2.0", "id": None, "error": error}, sent)


async def _answer(
    send: Send, status: int, told: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    data = orjson.dumps(told)
    sent = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": data})
