"""What the first pages promise: the README's client runs, the printed lines connect, and nobody pays who does not use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.server import environment, guardhouse, serving
from tests.surfaces.mcp.clients import over_http, run

ROOT = Path(__file__).parents[3]


def test_the_readmes_client_does_what_its_comments_say(tmp_path: Path) -> None:
    snippets = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    script = tmp_path / "agent.py"
    script.write_text(next(text for text in snippets if "streamable_http_client" in text))
    env = environment(tmp_path / "home")
    (tmp_path / "home").mkdir(mode=0o700)
    guardhouse(env, "init")
    with serving(env) as server:
        added = json.loads(guardhouse(env, "agents", "add", "builder", "--trust", "2", "--json").stdout)
        own = env | {"GUARDHOUSE_TOKEN": added["token"], "GUARDHOUSE_URL": f"http://127.0.0.1:{server.port}"}
        done = subprocess.run([sys.executable, script], env=own, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        verdict, expires = done.stdout.split()
        assert verdict == "block"
        assert re.match(r"20\d\d-\d\d-\d\dT", expires)
        entries = json.loads(guardhouse(env, "call", "query_audit", "limit:=10", "--json").stdout)["entries"]
        mine = [entry["operation"] for entry in entries if entry["surface"] == "mcp"]
        assert mine == ["release_lock", "acquire_lock", "check_guardrails"]


def test_the_lines_that_make_run_prints_lead_to_the_door(tmp_path: Path) -> None:
    """The harnesses' own commands are not run here; their address and token are used as they would use them."""
    page = (ROOT / "docs" / "quickstart.md").read_text()
    lines = [line for line in page.splitlines() if " mcp add " in line]
    assert [line.split()[0] for line in lines] == ["claude", "codex", "gemini"]
    assert "MCP is asking" in page
    script = (ROOT / "scripts" / "run.sh").read_text()
    for line in lines:
        assert line.replace("Bearer $", "Bearer \\$").replace("http://127.0.0.1:8420", "$address") in script
    # What Gemini CLI writes down is a project's own unless it is told otherwise, and may be shared with it.
    assert "--scope user" in lines[2]
    assert "'Authorization: Bearer ${GUARDHOUSE_TOKEN}'" in lines[2]
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    env = environment(home)
    guardhouse(env, "init")
    with serving(env) as server:
        token = json.loads(guardhouse(env, "agents", "add", "sample", "--trust", "2", "--json").stdout)["token"]

        async def work() -> int:
            async with over_http(f"http://127.0.0.1:{server.port}", token, mode="auto") as client:
                return len((await client.list_tools()).tools)

        assert run(work) == 19


def test_the_command_line_and_an_idle_server_do_without_the_sdk() -> None:
    """It takes a second and 17 MB to load: nobody pays for it who does not use it."""
    asked = "import sys; {}; print([name for name in ('mcp', 'mcp_types', 'httpx2') if name in sys.modules])"
    for load in (
        "import guardhouse.surfaces.cli.main as main; main.command_line()",
        "import guardhouse.app",
        "import guardhouse.surfaces.mcp.forwarding, guardhouse.surfaces.cli.mcp",
    ):
        done = subprocess.run([sys.executable, "-c", asked.format(load)], capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "[]", (load, done.stdout, done.stderr)
