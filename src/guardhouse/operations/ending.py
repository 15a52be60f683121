"""Servers' tools that end processes or services, put as the commands that would, so that the guard judges them as those."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

_KILLS = re.compile(r"(?i)kill|terminate|signal|(?:stop|end|suspend)_?(?:process|pid|task)")
_SERVICES = re.compile(
    r"(?i)service|systemd|systemctl|launchd|unit|docker|podman|container|compose|supervisor|kube|process"
)
_CONTAINERS = re.compile(r"(?i)docker|podman|container|compose")
_WORD = re.compile(r"[A-Za-z]+")
_PIDS = frozenset({"pid", "pids", "process_id", "processid", "process"})
_PORTS = frozenset({"port", "ports"})
_NAMES = frozenset({"name", "process", "process_name", "processname", "pattern"})


def likened(tool: str, given: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """The command lines that a tool's use amounts to, if it may end the gateway; nothing for other tools and targets."""
    if _KILLS.search(tool):
        for name, value in given:
            folded, plain = name.casefold(), value.strip()
            if plain.lstrip("-").isdecimal() and len(plain) < 12:
                if folded in _PIDS:
                    yield f"kill -- {plain}"
                elif folded in _PORTS:
                    yield f"kill-port {plain}"
            elif folded in _NAMES and "guardhouse" in plain.casefold():
                yield f"pkill -f {shlex.quote(plain)}"
    if _SERVICES.search(tool) and any("guardhouse" in value.casefold() for _, value in given):
        program = "docker" if _CONTAINERS.search(tool) else "systemctl"
        words = [*_WORD.findall(tool), *(value for _, value in given if len(value) < 200)]
        yield f"{program} {shlex.join(word.casefold() for word in words)}"
