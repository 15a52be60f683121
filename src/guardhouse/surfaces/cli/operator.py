"""Whose token the CLI sends: a deliberate one, else the operator's file, and never that inside an agent's shell."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from guardhouse.errors import SettingsFault, Unauthenticated
from guardhouse.storage import private

AGENT_VARIABLES = (
    "AIDER_",
    "CLAUDECODE",
    "CLAUDE_CODE_",
    "CLINE_ACTIVE",
    "CODEX_",
    "COPILOT_AGENT",
    "CURSOR_AGENT",
    "CURSOR_TRACE_ID",
    "GEMINI_CLI",
    "GOOSE_TERMINAL",
    "OPENCODE",
)
"""What coding agents set in the shells they run commands in. One that ends with `_` is a prefix."""


def agent_variable(environment: Mapping[str, str]) -> str:
    """The variable that gives an agent's shell away, or ""."""
    for name in sorted(environment):
        if any(name == mark or (mark.endswith("_") and name.startswith(mark)) for mark in AGENT_VARIABLES):
            return name
    return ""


def user_name() -> str:
    """The OS user's name, for who is named after them; the number where the system knows no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user-{os.getuid()}"


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The home, as `Settings` has it, without the cost of loading every setting. SettingsFault where none is named."""
    named = environment.get("GUARDHOUSE_HOME")
    if named is not None:
        if Path(named) in (Path(), Path("/")):
            raise SettingsFault("GUARDHOUSE_HOME names no folder: set it to one, or leave it out")
        return Path(named)
    base = environment.get("XDG_DATA_HOME", "")
    if sys.platform != "darwin" and base.startswith("/"):
        return Path(base) / "guardhouse"
    if environment.get("HOME") == "":
        raise SettingsFault("HOME is empty, so nothing says where state lives: set GUARDHOUSE_HOME")
    own = Path.home()
    return (
        own / "Library" / "Application Support" if sys.platform == "darwin" else own / ".local" / "share"
    ) / "guardhouse"


def folder() -> Path | None:
    """The folder that this runs in; None where it was removed meanwhile."""
    try:
        return Path.cwd()
    except OSError:
        return None


def token_file(place: Path) -> Path:
    """Where the operator's token is kept."""
    return place / "operator.token"


def read_private(path: Path) -> str:
    """The text of a file that only its owner may read; SettingsFault, with the repair, when others may."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(handle, encoding="utf-8") as file:
        state = os.fstat(file.fileno())
        if stat.S_IMODE(state.st_mode) & 0o077 or not stat.S_ISREG(state.st_mode):
            raise SettingsFault(f"`{path}` can be read by others: run `chmod 600 {path}` and rotate the token in it")
        if state.st_uid != os.geteuid():
            raise SettingsFault(f"`{path}` belongs to another user: run `chown $(id -u) {path}` if it is yours")
        return file.read().strip()


def keep(place: Path, slug: str, text: str) -> Path:
    """Keep a new workspace's operator token; where. Another workspace's, kept before, is never replaced."""
    path = token_file(place)
    if path.exists():
        path = place / f"operator.{slug}.token"
    private.replaced(path, f"{text}\n")
    return path


def token(environment: Mapping[str, str] = os.environ) -> str:
    """The token to send. Unauthenticated, with the next step, when there is none to be used here."""
    given = environment.get("GUARDHOUSE_TOKEN", "").strip()
    if given:
        return given
    path = token_file(home(environment))
    mark = agent_variable(environment)
    if mark:
        raise Unauthenticated(
            f"`{mark}` says that this is an agent's shell, and the operator's token is for people: "
            "run this in your own terminal, or give the agent its own token in GUARDHOUSE_TOKEN"
        )
    try:
        return read_private(path)
    except FileNotFoundError as error:
        raise Unauthenticated(
            f"there is no token: run `guardhouse init`, or set GUARDHOUSE_TOKEN (looked for `{path}`)"
        ) from error
    except OSError as error:
        raise SettingsFault(f"`{path}` cannot be read as a private file: {private.refused(error, path)}") from error
