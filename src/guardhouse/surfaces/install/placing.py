"""Our own files in the home: the shim and what it needs, each client's configuration and token, all closed to others."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from guardhouse.errors import InvalidInput
from guardhouse.storage import private
from guardhouse.surfaces.install import records

COPIED = ("shim.py", "clients.py")
_SOURCE = Path(__file__).parent.parent / "hooks"


@dataclass(frozen=True, slots=True)
class Hooked:
    """What the shim of one client is told."""

    client: str
    url: str
    posture: str
    agent_id: str = ""
    token_id: str = ""
    handle: str = ""


def run_file(home: Path) -> Path:
    """What clients run, by its absolute path."""
    return records.folder(home) / "run"


def token_file(home: Path, client: str) -> Path:
    return records.folder(home) / f"{client}.token"


def times_file(home: Path, client: str) -> Path:
    """Where the shim notes when it was called and how long it took."""
    return records.folder(home) / f"{client}.times"


def python() -> str:
    """The interpreter that the shim runs under: the one below any virtual environment, which may go before we do."""
    return os.path.realpath(sys.executable)


def serve_command() -> list[str]:
    """What starts the gateway of a home: no module of the folder it is started in, or that a variable names, is loaded."""
    return [sys.executable, "-P", "-E", "-m", "guardhouse", "serve"]


def place(home: Path) -> None:
    """Put the shim into the home, the same bytes as in the package."""
    folder = records.folder(home)
    if home.exists() and not os.access(home, os.W_OK | os.X_OK):
        raise InvalidInput(f"{home}: cannot be written: make the home yours to write; nothing was changed")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name in COPIED:
            beside = folder / f".{name}.new"
            shutil.copyfile(_SOURCE / name, beside)
            beside.replace(folder / name)
        shim, config = shlex.quote(str(folder / "shim.py")), shlex.quote(f"{folder}/")
        script = (
            "#!/bin/sh\n# Guardhouse's hook, written by `guardhouse install`: asks before each tool of an agent runs.\n"
            f'exec {shlex.quote(python())} -I -S {shim} "$1" --config {config}"$1".json\n'
        )
        beside = folder / ".run.new"
        beside.write_text(script, encoding="utf-8")
        beside.chmod(0o700)
        beside.replace(run_file(home))
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be written ({error.strerror}): make the home yours to write") from None


def configure(home: Path, hooked: Hooked, token: str) -> None:
    """Write one client's configuration, and its token where there is a new one."""
    told = {
        "client": hooked.client,
        "home": str(home),
        "url": hooked.url,
        "token_file": str(token_file(home, hooked.client)),
        "times_file": str(times_file(home, hooked.client)),
        "posture": hooked.posture,
        "start": None if hooked.url or os.environ.get("GUARDHOUSE_DATABASE_URL") else serve_command(),
        "agent_id": hooked.agent_id,
        "token_id": hooked.token_id,
        "handle": hooked.handle,
    }
    if token:
        private.replaced(token_file(home, hooked.client), f"{token}\n")
    private.replaced(records.folder(home) / f"{hooked.client}.json", json.dumps(told, indent=1) + "\n")


def configured(home: Path, client: str) -> dict[str, object]:
    """One client's configuration; empty where there is none that can be read."""
    try:
        value = json.loads((records.folder(home) / f"{client}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def clear(home: Path, client: str, left: Sequence[records.Record]) -> None:
    """Remove one client's configuration and token, and with the last client everything of ours."""
    folder = records.folder(home)
    if any(one.client == client for one in left):
        return
    names = [f"{client}.json", f"{client}.token", f"{client}.times"]
    if not left:
        names += [*COPIED, "run", records.NAME]
    for name in names:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    if not left:
        shutil.rmtree(folder / records.BACKUPS, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
