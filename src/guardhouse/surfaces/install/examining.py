"""What `guardhouse doctor` finds: each part of an installation, whether it does its work, and the line that repairs it."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from guardhouse.errors import GuardhouseError
from guardhouse.surfaces.install import codex_trust, placing, planning, records, switches
from guardhouse.surfaces.install.clients import CLIENTS, Place
from guardhouse.surfaces.install.managed import PATHS, system_of
from guardhouse.surfaces.install.switches import Ground

LAST = 100
"""How many of a client's calls its percentiles are of."""


@dataclass(slots=True)
class Finding:
    """One part. `repair` is what a person runs; empty where all is well."""

    part: str
    ok: bool
    detail: str
    repair: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        return asdict(self)


def home(place: Path) -> Finding:
    """The home: there, and ours to write."""
    probe = place / f".doctor.{os.getpid()}"
    try:
        probe.touch(mode=0o600)
        probe.unlink()
    except FileNotFoundError:
        return Finding("home", False, f"{place} is not there", "guardhouse init")
    except OSError as error:
        return Finding("home", False, f"{place} cannot be written ({error.strerror})", _opened_by(place, error))
    return Finding("home", True, str(place))


def _opened_by(place: Path, error: OSError) -> str:
    """What makes a home writable again, by what stands in the way."""
    if error.errno == errno.ENOTDIR:
        return f"mv {shlex.quote(str(place))} away: a file lies where the home should be; then guardhouse init"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on that disk"
    if error.errno == errno.EROFS:
        return "mount that disk for writing, or name another home in GUARDHOUSE_HOME"
    with contextlib.suppress(OSError):
        if place.stat().st_uid == os.getuid():
            return f"chmod u+rwx {shlex.quote(str(place))}"
    return f"sudo chown -R {_user()} {shlex.quote(str(place))}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def gateway(address: str, host: str, port: int) -> Finding:
    """The gateway: `address` where one runs and proved itself, else what stands in its way."""
    if address:
        return Finding("gateway", True, f"answers at {address}", facts={"address": address})
    try:
        with socket.create_connection((host, port), timeout=1):
            taken = port != 0
    except OSError:
        taken = False
    if taken:
        told = f"none runs for this home, and another program has port {port}"
        return Finding("gateway", False, told, "guardhouse serve --port 0", {"port_taken": port})
    return Finding("gateway", False, "none runs for this home", "guardhouse service install")


def gateway_of_hooks(address: str, *, lives: bool) -> Finding:
    """The gateway where this shell names none, none runs for this home, and every hook asks one at an address."""
    if lives:
        return Finding("gateway", True, f"answers at {address}, where the hooks ask it", facts={"address": address})
    return Finding("gateway", False, f"the hooks ask {address}, and nothing answers there", "start that gateway")


def silent(client: str, address: str) -> Finding:
    """The gateway that one hook asks, by the address in its own configuration, where nothing answers."""
    told = f"this hook asks {address}, and nothing answers there"
    repair = f"start that gateway, or name another in GUARDHOUSE_URL and run guardhouse install {client}"
    return Finding(f"{client} gateway", False, told, repair, {"address": address})


def none_at_home(client: str, named: str, *, starts: bool) -> Finding:
    """The gateway that one hook asks, where that is this home's and only another one, named in this shell, runs."""
    told = f"this hook asks the gateway of this home, not {named}, and none runs"
    if starts:
        return Finding(f"{client} gateway", True, f"{told}; the hook starts it when it is called")
    return Finding(f"{client} gateway", False, told, "guardhouse serve")


@dataclass(frozen=True, slots=True)
class Word:
    """What a gateway said of a hook's token: a code, and the command that lifts what stands against its agent, if any."""

    code: str
    lifted: str = ""


def token(client: str, word: Word | None) -> Finding:
    """What the gateway said of the hook's token; None where it could not be asked."""
    part = f"{client} token"
    if word is None:
        return Finding(part, True, "not asked: no gateway runs")
    if word.code == "performed":
        return Finding(part, True, "is accepted")
    if word.code == "missing":
        return Finding(part, False, "cannot be read", f"guardhouse install {client}")
    return Finding(part, False, f"is refused ({word.code})", word.lifted or f"guardhouse install {client}")


def hooks(name: str, place: Path, ground: Ground) -> list[Finding]:
    """One client's hooks: in every file that was changed for it, whether it is there and will be run.

    `ground` says where: a switch in the folder that one works in counts there.
    """
    made: list[Finding] = []
    for record in records.read(place):
        if record.client != name or record.kind == "line":
            continue
        path = Path(record.path)
        again = f"guardhouse install {name}"  # it takes scope, folder and posture from the record
        kind: Any = record.kind
        off = None
        try:
            present = planning.found(Place(path, kind))
            wrong, repair = ("", "") if present else ("the entry is gone", again)
        except GuardhouseError as error:
            present, wrong, repair = False, error.message, again
        if present:
            off = switches.off(name, path, ground)
            wrong, repair = (off.why, off.repair) if off is not None else (_unrunnable(place, name), again)
        trusted = _trusted(name, path, ground) if not wrong else "unknown"
        if not wrong and trusted in _NOT_RUN:
            wrong, repair = _NOT_RUN[trusted], "codex, then /hooks, then trust it"
        unsure = (
            ", if Codex trusts it: that is not known, its config.toml cannot be read" if trusted == "unknown" else ""
        )
        told = wrong or "is there and is run" + (unsure if name == "codex" else "")
        facts = {
            "file": str(path),
            "scope": record.scope,
            "present": present,
            "effective": not wrong,
            "trusted": trusted if name == "codex" else "",
        }
        ok = not wrong or (off is not None and off.guarded)
        made.append(Finding(f"{name} hook", ok, f"{path}: {told}", "" if ok else repair, facts))
    return made


def _unrunnable(place: Path, name: str) -> str:
    folder = records.folder(place)
    run = placing.run_file(place)
    if not os.access(run, os.X_OK):
        return f"{run} is gone"
    for one in (*placing.COPIED, f"{name}.json"):
        if not (folder / one).exists():
            return f"{folder / one} is gone"
    if not placing.configured(place, name):
        return f"{folder / name}.json cannot be read"
    line = run.read_text(encoding="utf-8", errors="replace").rpartition("exec ")[2]
    python = shlex.split(line)[0] if line else ""
    return "" if os.access(python, os.X_OK) else f"its interpreter {python} is gone"


_NOT_RUN: Mapping[str, str] = {
    "untrusted": "Codex does not trust it yet, so it is not run",
    "changed": "it was changed since Codex was told to trust it, so it is not run",
    "off": "it is switched off in Codex, so it is not run",
}


def _trusted(name: str, path: Path, ground: Ground) -> str:
    """Whether Codex was told to trust our hook; empty where trust is no question."""
    return codex_trust.trust(path, ground.own("codex")) if name == "codex" else ""


def managed(system: str = sys.platform, root: Path = Path("/")) -> list[Finding]:
    """The organisation's own settings on this machine that ask Guardhouse, by client."""
    key = system_of(system)
    made = []
    for name, places in PATHS.items():
        found = _files(root / places.get(key, "").lstrip("/")) if places.get(key) else []
        made += [
            Finding(f"{name} managed", True, f"{path}: asks Guardhouse", facts={"file": str(path)})
            for path in found
            if switches.asks_us(path)
        ]
    return made


def _files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(path.name)) if "*" in path.name else [path]


_SAMPLE = re.compile(
    r'^guardhouse_hook_(last_seconds|recent|recent_seconds)\{client="([a-z-]+)"(?:,quantile="([\d.]+)")?\} (\S+)$', re.M
)


def over_http(metrics: str, now: datetime) -> dict[str, dict[str, Any]]:
    """What the gateway remembers of each client's last hooks, by the text of its `/metrics`: its last call and how long
    they took inside the gateway, in milliseconds. It counts every hook, through the shim and over HTTP.
    """
    made: dict[str, dict[str, Any]] = {}
    for name, client, quantile, value in _SAMPLE.findall(metrics):
        told = made.setdefault(client, {"last_call": "", "calls": 0})
        if name == "last_seconds":
            told["last_call"] = (now - timedelta(seconds=float(value))).strftime("%Y-%m-%dT%H:%M:%SZ")
        elif name == "recent":
            told["calls"] = int(float(value))
        else:
            told["p50_ms" if quantile == "0.5" else "p99_ms"] = round(float(value) * 1000, 1)
    return made


def version(name: str) -> str:
    """What the client says of itself; empty where it is not on this machine's path."""
    command = CLIENTS[name].version
    found = shutil.which(command[0])
    if found is None:
        return ""
    try:
        done = subprocess.run([found, *command[1:]], capture_output=True, text=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().splitlines()[0][:80] if done.stdout.strip() else ""


def calls(name: str, place: Path) -> dict[str, Any]:
    """The client's last call and how long its last hundred took, in milliseconds from the shim's start to its answer."""
    path = placing.times_file(place, name)
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        at = path.stat().st_mtime
    except OSError:
        return {"last_call": "", "calls": 0}
    taken: list[float] = []
    for line in lines[-LAST:]:
        try:
            taken.append(float(line))
        except ValueError:
            continue
    if not taken:
        return {"last_call": "", "calls": 0}
    sorted_ = sorted(taken)
    last = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "last_call": last,
        "calls": len(sorted_),
        "p50_ms": sorted_[len(sorted_) // 2],
        "p99_ms": sorted_[min(len(sorted_) - 1, len(sorted_) * 99 // 100)],
    }


def ask_token(name: str, place: Path, ask: Callable[[str], Word] | None) -> Finding:
    """Ask the gateway about the hook's own token."""
    try:
        text = placing.token_file(place, name).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return token(name, Word("missing"))
    return token(name, ask(text) if ask is not None else None)
