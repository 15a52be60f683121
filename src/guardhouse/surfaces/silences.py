"""Silences: for whom the door answers from memory, and the count of the calls that it so kept out of the ledger.

A principal whose quota is used up, or whose every call is refused for its standing, leaves no entry a call
for ever: the door answers for it until a given time, or until the standing of its workspace changes,
and its next entry carries how many calls were answered so. Counted is by principal, so that more tokens
get no more; a token is known to be somebody's once a call of it was recorded.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from guardhouse.surfaces.counts import Counts

NAME = "suppressed.log"
REFUSALS_A_MINUTE = 60
"""How many calls of one principal are recorded a minute while everything is refused for its standing, or its tokens'."""

_OF_TOKENS = frozenset({"token_revoked", "token_expired", "session_revoked", "session_expired"})
STANDING = _OF_TOKENS | {"disabled", "suspended", "agent_suspended", "agent_stopped"}
"""Codes of identity and control under which no call of the token can pass. A pause is none: it lets some through.

Those of tokens silence only such tokens: a principal's good one is heard whoever hammers with a revoked one.
"""

_MOST_QUIET = 50_000
_MINUTE = 60.0
_MESSAGES = {
    "quota_exhausted": "the quota is used up",
    "rate_limited": "every call is refused, and too many come; they are counted and not recorded one by one",
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
    """Principals that the door answers for from memory, with their counts of suppressed calls.

    Every call is either handed on (`admit` gives the count that it carries) or counted (`admit` gives
    None), so entries and suppressed calls together equal the calls. Tokens are kept as SHA-256 only.
    `file`: where every count is written before its call is answered; read when this is made.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, file: Path | None = None) -> None:
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._refused: dict[bytes, _Refused] = {}
        self._counts = Counts(file)
        self.total = 0
        # Whoever was silent before a restart is heard again, and tells what was counted.
        self._known = {key: _Silence(monotonic(), count) for key, count in self._counts.sums.items()}

    def admit(self, token: str) -> int | None:
        """The suppressed calls that this call shall report, or None when it is itself suppressed."""
        if not self._known:
            return 0
        with self._guard:
            key = self._key(token)
            silence = self._known.get(key)
            if silence is None:
                return 0
            if self._monotonic() < silence.until:
                silence.suppressed += 1
                self.total += 1
                self._counts.add(key, 1)
                return None
            del self._known[key]
            return silence.suppressed

    def told(self, token: str, suppressed: int) -> None:
        """The entry of a call that carried a count is durable, or shares its unknown fate: the count is off the books."""
        if suppressed:
            with self._guard:
                self._counts.add(self._key(token), -suppressed)

    def left(self, token: str) -> int:
        """Whole seconds until this token is heard again, at least 1."""
        with self._guard:
            silence = self._known.get(self._key(token))
            return max(1, -int(-(silence.until - self._monotonic()) // 1)) if silence else 1

    def why(self, token: str) -> tuple[str, str]:
        """The code and the message that a suppressed call of this token is answered with."""
        with self._guard:
            silence = self._known.get(self._key(token))
        code = silence.code if silence is not None else "quota_exhausted"
        return code, _MESSAGES[code]

    def silence(
        self, token: str, seconds: float, code: str = "quota_exhausted", workspace: str = "", principal: str = ""
    ) -> None:
        """Answer from memory for so long: for all of a principal's tokens that are known, or for this one where none is named.

        A full memory leaves the door open: calls are then recorded.
        """
        with self._guard:
            key = self._learn(token, principal) if principal else self._key(token)
            self._silence(key, seconds, code, workspace)

    def _silence(self, key: bytes, seconds: float, code: str, workspace: str) -> None:
        silence = self._known.get(key)
        until = self._monotonic() + seconds
        if silence is not None:
            silence.until, silence.code, silence.workspace = max(silence.until, until), code, workspace
        elif len(self._known) < _MOST_QUIET or self._tidy():
            self._known[key] = _Silence(until, code=code, workspace=workspace)

    def refused(self, token: str, workspace: str, principal: str, code: str) -> None:
        """Count a call that was recorded as refused for its standing; too many in a minute silence the principal."""
        now = self._monotonic()
        # A revoked token says nothing about its principal's others: it is counted with what else of theirs is revoked.
        who = f"tokens of {principal}" if code in _OF_TOKENS else principal
        with self._guard:
            key = self._learn(token, who)
            found = self._refused.get(key)
            if found is None or now - found.since >= _MINUTE:
                if len(self._refused) >= _MOST_QUIET:
                    self._refused.clear()
                found = self._refused[key] = _Refused(now)
            found.calls += 1
            if found.calls >= REFUSALS_A_MINUTE:
                self._silence(key, found.since + _MINUTE - now, "rate_limited", workspace)

    def passed(self, token: str) -> None:
        """A call of this token was not refused for its standing: it is counted under nobody's silence any more."""
        if self._counts.owners:
            with self._guard:
                own = _hashed(token)
                key = self._counts.owners.get(own)
                if key is not None and key not in self._counts.sums:  # what is still to be told goes with it first
                    self._counts.own(own, own)

    def _learn(self, token: str, principal: str) -> bytes:
        """The key under which a principal is counted, from now on also for this token."""
        own, key = _hashed(token), _hashed(f"principal {principal}")
        owners = self._counts.owners
        if owners.get(own) != key and (len(owners) < _MOST_QUIET or self._forget()):
            self._counts.own(own, key)
        return key

    def _forget(self) -> bool:
        """Forget whose the tokens of those are who are not silent; whether that made room."""
        owners = self._counts.owners
        for token in [token for token, key in owners.items() if key not in self._known and key not in self._refused]:
            del owners[token]
        return len(owners) < _MOST_QUIET

    def _key(self, token: str) -> bytes:
        own = _hashed(token)
        return self._counts.owners.get(own, own)

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
            self._known.setdefault(self._key(token), _Silence(self._monotonic())).suppressed += suppressed

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
        """Keep the file short."""
        with self._guard:
            self._counts.tidy()

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


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
