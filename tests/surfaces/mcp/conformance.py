"""Run the public MCP conformance suite against a gateway. Run: python -m tests.surfaces.mcp.conformance [SCENARIO …].

Needs `npx` of Node 22 and the network, so it is not part of `make test`. GUARDHOUSE_NODE names another
`npx`; GUARDHOUSE_CONFORMANCE another package than the one below. Ends with status 1 when a scenario fails.

The suite speaks without a token, so a small proxy in between adds one; everything else it sees is the door's.
The scenarios that are left out ask for tools, prompts or resources of the suite's own invention (`test_…`),
or for what this server does not have: prompts, completion, logging, sampling, elicitation, its own streams.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server import environment, guardhouse, serving

PACKAGE = "@modelcontextprotocol/conformance@0.1.16"
SCENARIOS = (
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-error",
    "resources-list",
    "dns-rebinding-protection",
    "server-sse-multiple-streams",
)


@contextmanager
def with_token(port: int, token: str) -> Iterator[str]:
    """A proxy before a gateway that adds a bearer token; its address."""

    class Adds(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in (headers | {"Authorization": f"Bearer {token}"}).items():
                line.putheader(name, value)
            line.endheaders(body)
            answer = line.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            line.close()

        do_GET = do_POST = do_DELETE = do_OPTIONS = _pass  # noqa: N815  # the names are the base class's

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Adds)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}/mcp"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def main() -> int:
    """Run the scenarios, one line each; 1 when one of them fails."""
    npx = os.environ.get("GUARDHOUSE_NODE", "npx")
    package = os.environ.get("GUARDHOUSE_CONFORMANCE", PACKAGE)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        env = environment(Path(folder) / "home")
        (Path(folder) / "home").mkdir(mode=0o700)
        guardhouse(env, "init")
        with serving(env) as server:
            added = json.loads(guardhouse(env, "agents", "add", "tester", "--trust", "3", "--json").stdout)
            with with_token(server.port, added["token"]) as address:
                for scenario in sys.argv[1:] or SCENARIOS:
                    command = [npx, "-y", package, "server", "--url", address, "--scenario", scenario]
                    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
                    sys.stdout.write(f"{'passed' if done.returncode == 0 else 'FAILED'}  {scenario}\n")
                    if done.returncode != 0:
                        failed.append(scenario)
                        sys.stdout.write(done.stdout[-3000:] + done.stderr[-2000:])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
