"""What a door bears: who is over quota, whose forwarded address is believed, and how large a body may be."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

_MOST_QUIET = 50_000
_DRAINED_BYTES = 16 * 1_048_576
"""How much of a too-large body is read and thrown away, so that the client gets to read its answer."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass(slots=True)
class _Silence:
    until: float
    suppressed: int = 0


class Silences:
    """Tokens whose quota is known to be exhausted: the door answers for them from memory, and counts.

    Every call is either handed on (`admit` gives the count that it carries) or counted (`admit` gives
    None), so entries and suppressed calls together equal the calls. Tokens are kept as SHA-256 only.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._guard = threading.Lock()
        self._known: dict[bytes, _Silence] = {}
        self.total = 0

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

    def silence(self, token: str, seconds: int) -> None:
        """Answer for this token from memory for so long. A full memory leaves the door open: calls are then recorded."""
        with self._guard:
            key = _key(token)
            silence = self._known.get(key)
            until = self._monotonic() + seconds
            if silence is not None:
                silence.until = max(silence.until, until)
            elif len(self._known) < _MOST_QUIET or self._tidy():
                self._known[key] = _Silence(until)

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

    def _tidy(self) -> bool:
        now = self._monotonic()
        over = [key for key, silence in self._known.items() if silence.until <= now and not silence.suppressed]
        for key in over:
            del self._known[key]
        return bool(over)


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Proxies:
    """Whose `X-Forwarded-For` is believed."""

    def __init__(self, listed: str) -> None:
        self._networks = tuple(
            ipaddress.ip_network(item.strip(), strict=False) for item in listed.split(",") if item.strip()
        )

    def __bool__(self) -> bool:
        return bool(self._networks)

    def client(self, peer: str, forwarded: str) -> str:
        """The caller's address: the right-most hop that is not one of our proxies.

        Whatever stands left of it was written by the caller and proves nothing. A hop that is no
        address ends the search at the hop before.
        """
        address = peer
        if not self._trusted(peer):
            return address
        for hop in reversed([hop.strip() for hop in forwarded.split(",")]):
            try:
                # A zone index (`fe80::1%…`) may hold any text and names nothing on this host.
                address = str(ipaddress.ip_address(hop.partition("%")[0]))
            except ValueError:
                return address
            if not self._trusted(address):
                return address
        return address

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in self._networks)


class Disconnected(Exception):
    """The client went away before its request was whole: there was no call."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, or only its beginning when `oversized`. `drained`: the rest was read and thrown away."""

    data: bytes
    oversized: bool = False
    drained: bool = True


async def read_body(receive: Receive, most: int, declared: int) -> Body:
    """Read a body, bounded while it streams. Raises `Disconnected`; the caller bounds the time."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    data: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(data) <= most:
        return Body(data)
    if declared > _DRAINED_BYTES:
        return Body(data[:most], oversized=True, drained=False)
    parts, size = [data], len(data)
    more = message.get("more_body", False)
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        size += len(part)
        if size - len(part) < most:
            parts.append(part)
        if size > _DRAINED_BYTES:
            return Body(b"".join(parts)[:most], oversized=True, drained=False)
        more = message.get("more_body", False)
    whole = b"".join(parts)
    return Body(whole[:most], oversized=True) if size > most else Body(whole)


def header_values(headers: list[tuple[bytes, bytes]], wanted: Mapping[bytes, str]) -> dict[str, list[str]]:
    """The wanted headers' values by our names for them, in the order sent."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        label = wanted.get(name)
        if label is not None:
            found.setdefault(label, []).append(value.decode("latin-1"))
    return found
