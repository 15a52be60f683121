"""Forwarding: JSON-RPC lines from standard input to a gateway's `/mcp`, and its answers back as lines.

A pipe and nothing more: what a client may do is decided where the ledger is. It knows of the protocol
only what HTTP wants said in headers, opens a session again when the gateway forgot it (a restart), and
answers in the gateway's stead when that cannot be reached. It does without the SDK, so that it starts
at once and every session of an agent costs little.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import select
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from guardhouse.errors import SettingsFault
from guardhouse.surfaces import problem
from guardhouse.surfaces.mcp import refusing

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_PLAIN = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_SENTINEL = "=?base64?"
_SECONDS = 330.0
_IDLE_SECONDS = 30.0
_AT_ONCE = 32
_TURN_SECONDS = 5.0
_LAST_SECONDS = 20.0
_WAITS = frozenset({"wait_approval"})
"""Tools that are slow by design, so that nothing written after them waits for their answer."""
_ERROR = -32050


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes
    session: str


@dataclass(slots=True)
class Line:
    """One client's way to one gateway. `address` is its base address; `ours` waives the certificate's name."""

    address: str
    token: str = field(repr=False)
    tools: str
    ours: bool = False
    _idle: list[tuple[float, http.client.HTTPConnection]] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        parts = urlsplit(self.address if "://" in self.address else f"http://{self.address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsFault("GUARDHOUSE_URL is not an address such as `http://127.0.0.1:8420`")

    def send(self, method: str, body: bytes, headers: Mapping[str, str]) -> _Reply:
        """One request. ConnectionError when nothing can have arrived, OSError or HTTPException when that is not known."""
        connection = self._connection()
        sent = {"Authorization": f"Bearer {self.token}", "Accept": "application/json, text/event-stream"}
        sent |= {"Content-Type": "application/json", **headers}
        path = "/mcp" + (f"?tools={quote(self.tools)}" if self.tools else "")
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            reply = _Reply(answer.status, answer.read(), answer.headers.get("mcp-session-id", ""))
        except BaseException:
            connection.close()
            raise
        with self._guard:
            self._idle.append((time.monotonic(), connection))
        return reply

    def _connection(self) -> http.client.HTTPConnection:
        """A connection that is known to be open; a kept one that the gateway may have closed is not used."""
        while True:
            with self._guard:
                kept = self._idle.pop() if self._idle else None
            if kept is None:
                break
            since, connection = kept
            sock = connection.sock
            if (
                sock is not None
                and time.monotonic() - since < _IDLE_SECONDS
                and not select.select([sock], [], [], 0)[0]
            ):
                return connection
            connection.close()
        made = self._made()
        try:
            made.connect()
        except OSError as error:
            raise ConnectionRefusedError(str(error)) from error
        return made

    def _made(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.address if "://" in self.address else f"http://{self.address}")
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
        context = ssl.create_default_context()
        if self.ours:
            # endpoint.json proved the server; its certificate need not name the loopback address.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS, context=context)


class _Turn:
    """One message's place in the order in which they were written. `patience` is in seconds."""

    def __init__(self, before: _Turn | None, patience: float = _TURN_SECONDS) -> None:
        self._before = before
        self._patience = patience
        self._begun = threading.Event()
        self._over = threading.Event()

    def begin(self) -> None:
        """Wait until the message before has been answered, or has been on its way for as long as our patience."""
        if self._before is not None:
            self._before._begun.wait()
            self._before._over.wait(self._patience)
            self._before = None
        self._begun.set()

    def pass_on(self) -> None:
        """Let the next message go."""
        self._over.set()


class Pipe:
    """Carries lines both ways until the input ends."""

    def __init__(self, line: Line, output: BinaryIO) -> None:
        self._line = line
        self._output = output
        self._writing = threading.Lock()
        self._opening = threading.Lock()
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._opened: bytes | None = None
        self._session = ""
        self._version = ""

    def run(self, lines: Iterable[bytes]) -> None:
        """Forward every line until the input ends; what was written by then is answered before this returns.

        Messages are carried in the order in which they were written, since a client that writes two calls at
        once means the first one first. An opening request is answered before the next line is read. A message
        that takes longer than `_TURN_SECONDS`, or waits by design, holds up no other. At the end of the input
        the answers still due are waited for, at most `_LAST_SECONDS`.
        """
        turn: _Turn | None = None
        under_way: list[threading.Thread] = []
        for line in lines:
            if not line.strip():
                continue
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                self._write(
                    {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "this line is not JSON"}}
                )
                continue
            if not isinstance(message, dict) or "method" not in message:
                continue
            # The gateway is sent the line itself: read and written anew, a field named twice would pass as one.
            if message["method"] == "initialize":
                self._open(message, line.strip())
                continue
            self._places.acquire()
            # What takes a request back must overtake it.
            overtakes = message["method"] == "notifications/cancelled"
            mine = _Turn(None if overtakes else turn)
            turn = turn if overtakes else mine
            thread = threading.Thread(target=self._forward, args=(message, line.strip(), mine), daemon=True)
            under_way = [one for one in under_way if one.is_alive()]
            under_way.append(thread)
            thread.start()
        until = time.monotonic() + _LAST_SECONDS
        for thread in under_way:
            thread.join(max(0.0, until - time.monotonic()))
        if self._session:
            # Ending the session is a courtesy; the gateway forgets it by itself.
            try:
                self._line.send("DELETE", b"", self._headers({}))
            except (OSError, http.client.HTTPException):
                return

    def _open(self, message: dict[str, Any], line: bytes) -> None:
        with self._opening:
            self._opened, self._session, self._version = line, "", ""
            reply = self._ask(message, line)
            if reply is not None:
                self._keep(reply)
                self._answer(message, reply)

    def _keep(self, reply: _Reply) -> None:
        """Note the session and the version that an opening request was answered with."""
        if reply.status != 200:
            return
        self._session = reply.session
        result = _object(reply.body).get("result")
        self._version = str(result.get("protocolVersion", "")) if isinstance(result, dict) else ""

    def _forward(self, message: dict[str, Any], line: bytes, turn: _Turn) -> None:
        try:
            turn.begin()
            if _waits(message):
                turn.pass_on()
            session = self._session
            reply = self._ask(message, line)
            if reply is not None and reply.status == 404 and session and self._reopened(session):
                # The gateway did not know the session, so it did nothing: the same message goes to the new one.
                reply = self._ask(message, line)
            if reply is not None:
                self._answer(message, reply)
        finally:
            turn.pass_on()
            self._places.release()

    def _reopened(self, lost: str) -> bool:
        """Open a session again with the client's own opening request. False when that fails too."""
        with self._opening:
            if self._session != lost:
                return bool(self._session)
            if self._opened is None:
                return False
            self._session, self._version = "", ""
            try:
                self._keep(self._line.send("POST", self._opened, {}))
                if self._session:
                    begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
                    self._line.send("POST", json.dumps(begun).encode(), self._headers(begun))
            except (OSError, http.client.HTTPException):
                self._session = lost
                return False
            return bool(self._session)

    def _ask(self, message: Mapping[str, Any], line: bytes) -> _Reply | None:
        """Send one message as it was written; None when it was answered here, since the gateway could not."""
        try:
            return self._line.send("POST", line, self._headers(message))
        except ConnectionRefusedError as error:
            words = f"the gateway at {self._line.address} cannot be reached; is it running?"
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                words = (
                    f"the certificate of the gateway at {self._line.address} is not one that this machine trusts for that "
                    "name; where an authority of yours signed it, name its PEM file in SSL_CERT_FILE"
                )
            self._fail(message, problem.envelope("not_performed", words))
        except (OSError, http.client.HTTPException):
            words = f"the gateway at {self._line.address} went away before it answered"
            self._fail(message, problem.envelope("outcome_unknown", words))
        return None

    def _headers(self, message: Mapping[str, Any]) -> dict[str, str]:
        """What the protocol wants said in headers too: the session, or what a message without session is about."""
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        meta = params.get("_meta")
        version = meta.get(_VERSION_KEY) if isinstance(meta, dict) else None
        if isinstance(version, str):
            headers = {"MCP-Protocol-Version": _encoded(version), "Mcp-Method": _encoded(str(message["method"]))}
            name = params.get("uri") if message["method"] == "resources/read" else params.get("name")
            return headers | ({"Mcp-Name": _encoded(name)} if isinstance(name, str) else {})
        headers = {"mcp-session-id": self._session} if self._session else {}
        return headers | ({"MCP-Protocol-Version": self._version} if self._version else {})

    def _answer(self, message: Mapping[str, Any], reply: _Reply) -> None:
        if "id" not in message or reply.status == 202:
            return
        body = _object(reply.body)
        if "result" in body or (body.get("error") and body.get("id") is not None):
            self._write(body)
            return
        error = body.get("error")
        data = error.get("data") if isinstance(error, dict) else None
        if isinstance(data, dict) and isinstance(data.get("error"), dict):
            self._fail(message, data)
        elif isinstance(error, dict):
            self._write({"jsonrpc": "2.0", "id": message["id"], "error": error})
        else:
            words = f"what answers at {self._line.address} is no Guardhouse gateway (HTTP {reply.status})"
            self._fail(message, problem.envelope("not_performed", words))

    def _fail(self, message: Mapping[str, Any], envelope: dict[str, Any]) -> None:
        """Answer in the gateway's stead: a tool call with a result that its model can read, all else with an error."""
        if "id" not in message:
            return
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] == "tools/call":
            params = message.get("params")
            name = params.get("name") if isinstance(params, dict) else ""
            text = refusing.told(name if isinstance(name, str) else "", envelope)
            content = [{"type": "text", "text": text}]
            answer["result"] = {
                "content": content,
                "structuredContent": envelope,
                "isError": True,
                "resultType": "complete",
            }
        else:
            answer["error"] = {"code": _ERROR, "message": refusing.told("", envelope), "data": envelope}
        self._write(answer)

    def _write(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            self._output.write(data)
            self._output.flush()


def _waits(message: Mapping[str, Any]) -> bool:
    params = message.get("params")
    name = params.get("name") if isinstance(params, dict) else None
    return isinstance(name, str) and name in _WAITS


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _encoded(value: str) -> str:
    """A header's value as the protocol writes one that is not plain ASCII."""
    if _PLAIN.match(value) and not value.startswith(_SENTINEL):
        return value
    return f"{_SENTINEL}{base64.b64encode(value.encode()).decode()}?="
