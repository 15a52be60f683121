"""The gateway started at login: a systemd user unit, or a launchd agent."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from guardhouse.errors import InvalidInput
from guardhouse.storage import private

UNIT = "guardhouse.service"
LABEL = "dev.guardhouse.gateway"
MARK = "Written by `guardhouse service install`, with it {folders} new folders"
_OURS = re.compile(MARK.replace("{folders}", r"(\d+)"))
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


def write(made: Service) -> None:
    """Write the service's file (mode 0600), which says how many folders came with it. InvalidInput for one that is not ours."""
    try:
        held = made.path.read_text(encoding="utf-8", errors="replace") if made.path.exists() else None
        folders = _folders(held) if held is not None else sum(not one.exists() for one in made.path.parents)
        if folders is None:
            raise InvalidInput(f"{made.path}: was not written by Guardhouse: move it away, then run this again")
        made.path.parent.mkdir(parents=True, exist_ok=True)
        # Closed to others from its first byte: an address of a database in it may hold a password.
        private.replaced(Path(os.path.realpath(made.path)), made.text.replace("{folders}", str(folders)))
    except OSError as error:
        raise InvalidInput(f"{made.path}: cannot be written ({error.strerror})") from None


def came_with(made: Service) -> int | None:
    """How many folders came with the file; None where there is none. InvalidInput for a file that is not ours."""
    try:
        folders = _folders(made.path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    if folders is None:
        raise InvalidInput(f"{made.path}: was not written by Guardhouse, so it is left")
    return folders


def remove(made: Service, folders: int) -> None:
    """Remove the file, and so many folders above it as came with it, where nothing else is in them."""
    made.path.unlink()
    with contextlib.suppress(OSError):
        for folder in list(made.path.parents)[:folders]:
            folder.rmdir()


def _folders(text: str) -> int | None:
    found = _OURS.search(text)
    return int(found[1]) if found is not None else None


def _quoted(text: str) -> str:
    """A word for systemd: `%` and `$` mean nothing in it."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{inner}"'


def _unit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    lines = [f"# {MARK}", "[Unit]", "Description=Guardhouse, the gate that agents' tools pass", "", "[Service]"]
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
        f"<!-- {MARK} -->\n"
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
