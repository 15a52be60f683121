"""Measure hooks: the shim from process start to answer, and the hook over HTTP. Run: python -m tests.bench.bench_hooks.

The gateway is warm and real, and what is timed is the line that `install` writes into a client's settings, run by a shell
as clients run it. Beside it stands the floor that no Python shim can beat: the same interpreter started with the same flags
to do nothing.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from guardhouse.surfaces.install import clients, placing
from tests.server import environment, guardhouse, serving
from tests.surfaces.hooks.payloads import GIVEN, PAYLOADS

AIM_SHIM, AIM_HTTP = 60.0, 3.0
"""Milliseconds at the median, warm, with nothing else to do."""


def milliseconds(count: int, one: Callable[[], object]) -> list[float]:
    """How long each of `count` runs took, after three that are not counted."""
    for _ in range(3):
        one()
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        one()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def tell(name: str, taken: list[float], aim: float = 0.0) -> None:
    """One line: median and 99th percentile in milliseconds."""
    ordered = sorted(taken)
    last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    wanted = f"   aim p50 < {aim:.0f}" if aim else ""
    print(f"{name:34}  p50 {statistics.median(ordered):7.2f}  p99 {last:7.2f} ms{wanted}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60, help="shim runs; HTTP hooks are asked ten times as often")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        env = environment(place / "home")
        guardhouse(env, "init")
        added = guardhouse(env, "agents", "add", "hooked", "--trust", "2", "--profile", "unlimited", "--json")
        token = json.loads(added.stdout)["token"]
        home = place / "home"
        placing.place(home)
        placing.configure(home, placing.Hooked("codex", "", "closed"), token)
        flags = [placing.python(), "-I", "-S"]
        argv = ["/bin/sh", "-c", clients.command("codex", placing.run_file(home), "closed")]
        bodies = {
            name: json.dumps(PAYLOADS["codex"]("shell", GIVEN[name])).encode() for name in ("shell.allow", "shell.deny")
        }
        with serving(env) as server:
            tell(
                "python that does nothing", milliseconds(count, lambda: subprocess.run([*flags, "-c", ""], check=True))
            )
            for name, body in bodies.items():

                def shimmed(body: bytes = body) -> None:
                    done = subprocess.run(argv, input=body, capture_output=True, check=True)
                    assert (b'"deny"' in done.stdout) == (name == "shell.deny"), done  # noqa: B023  # called at once

                tell(f"shim, {name}", milliseconds(count, shimmed), AIM_SHIM)
            line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            for name, body in bodies.items():

                def asked(body: bytes = body) -> None:
                    line.request("POST", "/v1/hooks/codex", body, sent)
                    told = line.getresponse().read()
                    assert (b'"deny"' in told) == (name == "shell.deny"), told  # noqa: B023  # called at once

                tell(f"HTTP, {name}", milliseconds(count * 10, asked), AIM_HTTP)
            line.close()
            server.stop()


if __name__ == "__main__":
    main()
