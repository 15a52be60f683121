"""What `guardhouse doctor` finds: each part of an installation, whether it does its work, and the line that repairs it."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guardhouse.errors import GuardhouseError
from guardhouse.surfaces.install import clients, placing, planning, records
from guardhouse.surfaces.install.clients import CLIENTS, Place
from guardhouse.surfaces.install.jsonc import Unreadable, parse

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
        return Finding("home", False, f"{place} cannot be written ({error.strerror})", f"chmod u+rwx {place}")
    return Finding("home", True, str(place))


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


def token(client: str, code: str) -> Finding:
    """What the gateway said of the hook's token: a code, or "" where it could not be asked."""
    part = f"{client} token"
    if not code:
        return Finding(part, True, "not asked: no gateway runs")
    if code == "performed":
        return Finding(part, True, "is accepted")
    if code == "missing":
        return Finding(part, False, "cannot be read", f"guardhouse install {client}")
    known = code in ("suspended", "stopped", "paused")
    repair = "guardhouse agents list" if known else f"guardhouse install {client}"
    return Finding(part, False, f"is refused ({code})", repair)


def hooks(name: str, place: Path, environment: Mapping[str, str]) -> list[Finding]:
    """One client's hooks: in every file that was changed for it, whether it is there and will be run."""
    made: list[Finding] = []
    for record in records.read(place):
        if record.client != name or record.kind == "line":
            continue
        path = Path(record.path)
        kind: Any = record.kind
        try:
            present = planning.found(Place(path, kind))
            wrong = _switched_off(name, path) if present else ""
        except GuardhouseError as error:
            present, wrong = False, error.message
        wrong = wrong or ("" if present else "the entry is gone") or _unrunnable(place, name)
        trusted = _trusted(name, path, environment)
        repair = (
            "" if not wrong else f"guardhouse install {name}" + ("" if record.scope == "user" else f" --{record.scope}")
        )
        if not wrong and trusted is False:
            wrong, repair = "Codex does not trust it yet, so it is not run", "codex, then /hooks, then trust it"
        told = wrong or "is there and is run" + (", if it is trusted" if trusted is None and name == "codex" else "")
        facts = {
            "file": str(path),
            "scope": record.scope,
            "present": present,
            "effective": not wrong,
            "trusted": trusted,
        }
        made.append(Finding(f"{name} hook", not wrong, f"{path}: {told}", repair, facts))
    return made


def _unrunnable(place: Path, name: str) -> str:
    folder = records.folder(place)
    run = placing.run_file(place)
    if not os.access(run, os.X_OK):
        return f"{run} is gone"
    for one in (*placing.COPIED, f"{name}.json"):
        if not (folder / one).exists():
            return f"{folder / one} is gone"
    line = run.read_text(encoding="utf-8", errors="replace").rpartition("exec ")[2]
    python = shlex.split(line)[0] if line else ""
    return "" if os.access(python, os.X_OK) else f"its interpreter {python} is gone"


def _switched_off(name: str, path: Path) -> str:
    """Whether the client's own switches leave hooks out."""
    if name == "codex":
        try:
            held = tomllib.loads((path.parent / "config.toml").read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            return ""
        features = held.get("features")
        off = isinstance(features, dict) and features.get("hooks", features.get("codex_hooks")) is False
        return f"{path.parent / 'config.toml'} sets features.hooks = false" if off else ""
    if path.suffix != ".json":
        return ""
    try:
        root = parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, Unreadable):
        return ""
    held = root.plain() if root is not None and root.kind == "object" else {}
    if held.get("disableAllHooks") is True:
        return "`disableAllHooks` is set"
    return "the client's `hooksConfig.enabled` is false" if _is_off(held.get("hooksConfig")) else ""


def _is_off(held: object) -> bool:
    return isinstance(held, dict) and held.get("enabled") is False


def _trusted(name: str, path: Path, environment: Mapping[str, str]) -> bool | None:
    """Whether Codex was told to trust our hook; None where that cannot be seen, or trust is no question."""
    if name != "codex":
        return None
    folder = clients.CLIENTS["codex"].user(Path.home(), environment).path.parent
    try:
        held = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8-sig"))
        state = held["hooks"]["state"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    known = [one for key, one in state.items() if str(path) in key and isinstance(one, dict)]
    return any(one.get("trusted_hash") and one.get("enabled", True) for one in known)


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


def ask_token(name: str, place: Path, ask: Callable[[str], str] | None) -> Finding:
    """Ask the gateway about the hook's own token."""
    try:
        text = placing.token_file(place, name).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return token(name, "missing")
    return token(name, ask(text) if ask is not None else "")
