"""What the benchmarks of the work share: requests of many agents, programs beside each other, lines of a table."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def requests_of(tokens: dict[str, str], operation: str, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
    """The same bodies from every agent."""
    return [
        {"path": f"/v1/{operation}", "body": body, "headers": {"Authorization": f"Bearer {token}"}}
        for token in tokens.values()
        for body in bodies
    ]


def run(module: str, spec: dict[str, Any]) -> dict[str, Any]:
    """What a program of this package prints, given this on its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", module], input=json.dumps(spec), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def row(database: str, what: str, figure: str, ratio: str = "", note: str = "") -> None:
    """One line of the table."""
    print(f"| {database} | {what} | {figure} | {ratio} | {note} |", flush=True)
