"""The gateway started at login: a systemd user unit, or a launchd agent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

UNIT = "guardhouse.service"
LABEL = "dev.guardhouse.gateway"
_KEPT_OUT = ("GUARDHOUSE_TOKEN", "GUARDHOUSE_URL")


@dataclass(frozen=True, slots=True)
class Service:
    """What is written where, and the commands that make the system follow it."""

    path: Path
    text: str
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]


def service(
    command: Sequence[str], home: Path, user_home: Path, environment: Mapping[str, str], platform: str = sys.platform
) -> Service:
    """The service of this system. The settings in the environment go with it, tokens never."""
    kept = {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith("GUARDHOUSE_") and name not in _KEPT_OUT
    } | {"GUARDHOUSE_HOME": str(home)}
    if platform == "darwin":
        path = user_home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        domain = f"gui/{os.getuid()}"
        return Service(
            path,
            _plist(command, kept, home),
            (("launchctl", "bootstrap", domain, str(path)),),
            (("launchctl", "bootout", f"{domain}/{LABEL}"),),
        )
    base = environment.get("XDG_CONFIG_HOME")
    path = (Path(base) if base else user_home / ".config") / "systemd" / "user" / UNIT
    return Service(
        path,
        _unit(command, kept),
        (("systemctl", "--user", "daemon-reload"), ("systemctl", "--user", "enable", "--now", UNIT)),
        (("systemctl", "--user", "disable", "--now", UNIT), ("systemctl", "--user", "daemon-reload")),
    )


def _quoted(text: str) -> str:
    """A word for systemd: `%` and `$` mean nothing in it."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{inner}"'


def _unit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    lines = ["[Unit]", "Description=Guardhouse, the gate that agents' tools pass", "", "[Service]"]
    lines += [f"Environment={_quoted(f'{name}={value}')}" for name, value in environment.items()]
    lines += [f"ExecStart={' '.join(_quoted(word).replace('$', '$$') for word in command)}"]
    lines += ["Restart=on-failure", "RestartSec=2", "", "[Install]", "WantedBy=default.target", ""]
    return "\n".join(lines)


def _plist(command: Sequence[str], environment: Mapping[str, str], home: Path) -> str:
    words = "".join(f"    <string>{escape(word)}</string>\n" for word in command)
    held = "".join(
        f"    <key>{escape(name)}</key>\n    <string>{escape(value)}</string>\n" for name, value in environment.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
        '<plist version="1.0">\n<dict>\n'
        f"  <key>Label</key>\n  <string>{LABEL}</string>\n"
        f"  <key>ProgramArguments</key>\n  <array>\n{words}  </array>\n"
        f"  <key>EnvironmentVariables</key>\n  <dict>\n{held}  </dict>\n"
        "  <key>RunAtLoad</key>\n  <true/>\n  <key>KeepAlive</key>\n  <dict>\n"
        "    <key>SuccessfulExit</key>\n    <false/>\n  </dict>\n"
        f"  <key>StandardErrorPath</key>\n  <string>{escape(str(home / 'serve.log'))}</string>\n"
        "</dict>\n</plist>\n"
    )


def run(commands: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Each command line with what came of it: "" for done, else why not. Stops at none: the file alone serves at login."""
    told = []
    for command in commands:
        line = " ".join(command)
        found = shutil.which(command[0])
        if found is None:
            told.append((line, f"`{command[0]}` is not here"))
            continue
        try:
            done = subprocess.run([found, *command[1:]], capture_output=True, text=True, timeout=60)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            told.append((line, type(error).__name__))
            continue
        told.append((line, "" if done.returncode == 0 else (done.stderr.strip() or f"status {done.returncode}")))
    return told
