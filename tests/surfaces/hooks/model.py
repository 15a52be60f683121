"""A model that says what it is told: enough of two vendors' wires for their own clients to run a tool and report.

It answers the first request with one use of the client's shell tool and every later one with a last word, and keeps
what the client sent, so that a test can read what the client told its model about the tool.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SHELLS = ("Bash", "exec_command", "shell_command", "shell", "container.exec", "run_shell_command", "bash")


class Model:
    """What it shall ask for, and what it was told."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.requests: list[dict[str, Any]] = []
        self.asked = False
        self.guard = threading.Lock()
        self.port = 0

    def next_use(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """The tool to use now, by the name under which the client offers its shell; None for the last word."""
        with self.guard:
            self.requests.append(body)
            if self.asked:
                return None
            offered = [
                str(tool.get("name", tool.get("function", {}).get("name", ""))) for tool in body.get("tools", [])
            ]
            name = next((shell for shell in SHELLS if shell in offered), "")
            if not name:
                return None
            self.asked = True
        key = "cmd" if name == "exec_command" else "command"
        wrapped = ["bash", "-c", self.command] if name in ("shell", "container.exec") else self.command
        return name, {key: wrapped, "description": "run it"} if name in ("Bash", "bash") else {key: wrapped}

    @property
    def told(self) -> str:
        """All that the client sent, as text."""
        return json.dumps(self.requests)


class _Handler(BaseHTTPRequestHandler):
    model: Model
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(200, "application/json", b'{"data": [], "models": [], "object": "list"}')

    do_HEAD = do_GET  # noqa: N815  # the name that http.server calls

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
        if self.path.partition("?")[0].endswith("/messages"):
            events = list(_anthropic(self.model.next_use(body)))
        elif self.path.partition("?")[0].endswith("/responses"):
            events = list(_responses(self.model.next_use(body)))
        elif self.path.partition("?")[0].endswith("/chat/completions"):
            events = list(_completions(self.model.next_use(body)))
        else:
            self._send(200, "application/json", b'{"input_tokens": 1}')
            return
        text = "".join(f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n" for name, data in events)
        self._send(200, "text/event-stream", text.encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


def _anthropic(use: tuple[str, dict[str, Any]] | None) -> Iterator[tuple[str, str]]:
    start = {"type": "message", "id": "msg_1", "role": "assistant", "model": "m", "content": []}
    start |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    if use is None:
        block: dict[str, Any] = {"type": "text", "text": ""}
        delta: dict[str, Any] = {"type": "text_delta", "text": "done"}
    else:
        block = {"type": "tool_use", "id": "toolu_1", "name": use[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(use[1])}
    ended = {"stop_reason": "end_turn" if use is None else "tool_use", "stop_sequence": None}
    for event in (
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ):
        yield str(event["type"]), json.dumps(event)


def _responses(use: tuple[str, dict[str, Any]] | None) -> Iterator[tuple[str, str]]:
    item: dict[str, Any] = {"type": "message", "role": "assistant", "id": "m1"}
    item["content"] = [{"type": "output_text", "text": "done"}]
    if use is not None:
        item = {
            "type": "function_call",
            "id": "f1",
            "call_id": "call_1",
            "name": use[0],
            "arguments": json.dumps(use[1]),
        }
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    for event in (
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "r1", "output": [item], "usage": usage}},
    ):
        yield str(event["type"]), json.dumps(event)


def _completions(use: tuple[str, dict[str, Any]] | None) -> Iterator[tuple[str, str]]:
    delta: dict[str, Any] = {"role": "assistant", "content": "done"}
    if use is not None:
        call = {"index": 0, "id": "call_1", "type": "function"}
        call |= {"function": {"name": use[0], "arguments": json.dumps(use[1])}}
        delta = {"role": "assistant", "content": None, "tool_calls": [call]}
    shared = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    yield "", json.dumps(shared | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    ended = {"index": 0, "delta": {}, "finish_reason": "stop" if use is None else "tool_calls"}
    yield (
        "",
        json.dumps(
            shared | {"choices": [ended], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        ),
    )
    yield "", "[DONE]"


@contextmanager
def model(command: str) -> Iterator[Model]:
    """A model on loopback that will ask for one command."""
    made = Model(command)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"model": made}))
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
