"""Silences: for whom the door answers from memory, and the count of the calls that it so kept out of the ledger.

A token whose quota is used up, or whose every call is refused for its standing, leaves no entry a call
for ever: the door answers for it until a given time, or until the standing of its workspace changes,
and its next entry carries how many calls were answered so.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from guardhouse.storage import private

NAME = "suppressed.json"
REFUSALS_A_MINUTE = 60
"""How many calls of one token are recorded a minute while everything it asks is refused for its standing."""

STANDING = frozenset(
    {
        "token_revoked",
        "token_expired",
        "session_revoked",
        "session_expired",
        "disabled",
        "suspended",
        "agent_suspended",
        "agent_stopped",
    }
)
"""Codes of identity and control under which no call of the token can pass. A pause is none: it lets some through."""

_MOST_QUIET = 50_000
_MINUTE = 60.0
_MESSAGES = {
    "quota_exhausted": "the quota is used up",
    "rate_limited": "every call of this token is refused, and too many come; they are counted and not recorded one by one",
}


@dataclass(slots=True)
class _Silence:
    until: float
    suppressed: int = 0
    code: str = "quota_exhausted"
    workspace: str = ""


@dataclass(slots=True)
class _Refused:
    since: float
    calls: int = 0


class Silences:
    """Tokens that the door answers for from memory, with their counts of suppressed calls.

    Every call is either handed on (`admit` gives the count that it carries) or counted (`admit` gives
    None), so entries and suppressed calls together equal the calls. Tokens are kept as SHA-256 only.
    `file`: where `keep` writes the counts, so that they outlive this process; read when this is made.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, file: Path | None = None) -> None:
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._known: dict[bytes, _Silence] = {}
        self._refused: dict[bytes, _Refused] = {}
        self._file = file
        self._kept: dict[str, int] = {}
        self.total = 0
        if file is not None:
            self._kept = _read(file)
            # Whoever was silent before a restart is heard again, and tells what was counted.
            self._known = {bytes.fromhex(key): _Silence(monotonic(), count) for key, count in self._kept.items()}

    def admit(self, token: str) -> int | None:
        """The suppressed calls that this call shall report, or None when it is itself suppressed."""
        if not self._known:
            return 0
        key = _key(token)
        with self._guard:
            silence = self._known.get(key)
            if silence is None:
                return 0
            if self._monotonic() < silence.until:
                silence.suppressed += 1
                self.total += 1
                return None
            del self._known[key]
            return silence.suppressed

    def left(self, token: str) -> int:
        """Whole seconds until this token is heard again, at least 1."""
        with self._guard:
            silence = self._known.get(_key(token))
            return max(1, -int(-(silence.until - self._monotonic()) // 1)) if silence else 1

    def why(self, token: str) -> tuple[str, str]:
        """The code and the message that a suppressed call of this token is answered with."""
        with self._guard:
            silence = self._known.get(_key(token))
        code = silence.code if silence is not None else "quota_exhausted"
        return code, _MESSAGES[code]

    def silence(self, token: str, seconds: float, code: str = "quota_exhausted", workspace: str = "") -> None:
        """Answer for this token from memory for so long. A full memory leaves the door open: calls are then recorded."""
        with self._guard:
            key = _key(token)
            silence = self._known.get(key)
            until = self._monotonic() + seconds
            if silence is not None:
                silence.until, silence.code, silence.workspace = max(silence.until, until), code, workspace
            elif len(self._known) < _MOST_QUIET or self._tidy():
                self._known[key] = _Silence(until, code=code, workspace=workspace)

    def refused(self, token: str, workspace: str) -> None:
        """Count a call that was recorded as refused for its token's standing; too many in a minute silence the token."""
        now = self._monotonic()
        with self._guard:
            key = _key(token)
            found = self._refused.get(key)
            if found is None or now - found.since >= _MINUTE:
                if len(self._refused) >= _MOST_QUIET:
                    self._refused.clear()
                found = self._refused[key] = _Refused(now)
            found.calls += 1
            left = found.since + _MINUTE - now
            full = found.calls >= REFUSALS_A_MINUTE
        if full:
            self.silence(token, left, "rate_limited", workspace)

    def lift(self, workspace: str) -> None:
        """The standing of a workspace has changed: hear everybody of it again, each with its count."""
        if not self._known:
            return
        with self._guard:
            now = self._monotonic()
            for silence in self._known.values():
                if silence.workspace == workspace:
                    silence.until = min(silence.until, now)

    def give_back(self, token: str, suppressed: int) -> None:
        """A call that carried a count was not recorded: the next one reports it."""
        if not suppressed:
            return
        with self._guard:
            self._known.setdefault(_key(token), _Silence(self._monotonic())).suppressed += suppressed

    @property
    def pending(self) -> int:
        """Suppressed calls that no entry reports yet."""
        with self._guard:
            return sum(silence.suppressed for silence in self._known.values())

    @property
    def workspaces(self) -> frozenset[str]:
        """The workspaces of which anybody is silent now."""
        with self._guard:
            now = self._monotonic()
            return frozenset(silence.workspace for silence in self._known.values() if silence.until > now)

    def keep(self) -> None:
        """Write the counts to the file where they changed, whole or not at all. A crash loses those since the last time."""
        if self._file is None:
            return
        with self._guard:
            counts = {key.hex(): silence.suppressed for key, silence in self._known.items() if silence.suppressed}
        if counts == self._kept:
            return
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        private.written(beside, json.dumps(counts).encode())
        beside.replace(self._file)
        self._kept = counts

    def _tidy(self) -> bool:
        now = self._monotonic()
        over = [key for key, silence in self._known.items() if silence.until <= now and not silence.suppressed]
        for key in over:
            del self._known[key]
        return bool(over)


def lift_when_changed(silences: Silences, versions: Callable[[Iterable[str]], Mapping[str, int]]) -> Callable[[], None]:
    """What to do now and then so that another process's government ends silences here: `versions` reads the standing's."""
    seen: dict[str, int] = {}

    def look() -> None:
        silent = silences.workspaces - {""}
        found = versions(silent) if silent else {}
        for workspace, version in found.items():
            # One not seen before may have changed since its silence began, so that counts as a change.
            if seen.get(workspace) != version:
                silences.lift(workspace)
        seen.update(found)

    return look


def _read(file: Path) -> dict[str, int]:
    """The counts in a file; none where it is absent or damaged, since a door must open all the same."""
    try:
        value = json.loads(file.read_bytes())
        return {key: count for key, count in value.items() if len(bytes.fromhex(key)) == 32 and int(count) > 0}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
