"""A real gateway process for tests: started by the real command, spoken to over a real socket, ended by its own pid."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.forking import Forked, Nursery

NURSERIES: list[Nursery] = []
"""Where processes are forked from, if there is one: the tests have one, the benchmarks start every process anew."""
AGENT_SHELLS = ("CLAUDECODE", "GEMINI_CLI", "CURSOR_AGENT")


def environment(home: Path, database_url: str = "", **more: str) -> dict[str, str]:
    """The environment of a person's own shell, pointed at a home of the test's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GUARDHOUSE_", "CODEX_")) and name not in AGENT_SHELLS
    }
    kept |= {"GUARDHOUSE_HOME": str(home), "GUARDHOUSE_LOG_LEVEL": "warning", "PYTHONDONTWRITEBYTECODE": "1"}
    if database_url:
        kept["GUARDHOUSE_DATABASE_URL"] = database_url
    return kept | more


def guardhouse(env: dict[str, str], *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = _start("guardhouse", arguments, env, out, err)
        try:
            process.wait(120)
        finally:
            process.kill()
        for file in (out, err):
            file.seek(0)
        done = subprocess.CompletedProcess(process.args, process.wait(30), out.read(), err.read())
    if check and done.returncode != 0:
        raise AssertionError(
            f"guardhouse {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done


def _start(
    module: str, arguments: tuple[str, ...], env: dict[str, str], out: IO[Any], err: IO[Any]
) -> Forked | subprocess.Popen[bytes]:
    for nursery in NURSERIES:
        forked = nursery.start(module, arguments, env, out.fileno(), err.fileno())
        if forked is not None:
            return forked
    return subprocess.Popen([sys.executable, "-m", module, *arguments], env=env, stdout=out, stderr=err)


def program(module: str = "guardhouse") -> list[str]:
    """The words that start the command, for whoever starts it by its command line."""
    return NURSERIES[0].command(module) if NURSERIES else [sys.executable, "-m", module]


@dataclass
class Server:
    """A running gateway."""

    process: Forked | subprocess.Popen[bytes]
    port: int
    connections: list[http.client.HTTPConnection] = field(default_factory=list)

    def connect(self) -> http.client.HTTPConnection:
        """A new keep-alive connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.connections.append(connection)
        return connection

    def call(
        self,
        token: str,
        operation: str,
        body: Any = None,
        connection: http.client.HTTPConnection | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, Any]]:
        """POST one call; the status and the parsed answer."""
        line = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            line.request("POST", f"/v1/{operation}", json.dumps(body or {}), sent)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            if connection is None:
                line.close()

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextlib.contextmanager
def serving(
    env: dict[str, str], *arguments: str, wrap: tuple[str, ...] = (), module: str = "guardhouse"
) -> Iterator[Server]:
    """Start `guardhouse serve` on a free port and wait until it answers; `module` may be another main of the same."""
    endpoint = Path(env["GUARDHOUSE_HOME"]) / "endpoint.json"
    endpoint.unlink(missing_ok=True)
    log = Path(env["GUARDHOUSE_HOME"]) / "serve.log"
    with log.open("ab") as sink:
        asked = ("serve", "--port", "0", *arguments)
        process = (
            subprocess.Popen([*wrap, sys.executable, "-m", module, *asked], env=env, stdout=sink, stderr=sink)
            if wrap
            else _start(module, asked, env, sink, sink)
        )
    server = Server(process, 0)
    served_by = 0
    try:
        deadline = time.monotonic() + 60
        while not server.port:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the gateway did not start:\n{log.read_text()}")
            with contextlib.suppress(OSError, ValueError, KeyError):
                told = json.loads(endpoint.read_text())
                served_by = int(told["pid"])
                server.port = int(told["address"].rsplit(":", 1)[1].strip("/"))
            if not server.port:
                time.sleep(0.02)
        yield server
    finally:
        for connection in server.connections:
            connection.close()
        if served_by not in (0, process.pid):
            # Under a wrapper the gateway is another process; ending the wrapper would only let go of it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(served_by, signal.SIGKILL)
        if process.poll() is None:
            process.kill()
            process.wait(30)
