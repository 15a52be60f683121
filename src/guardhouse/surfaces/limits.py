"""What a door bears: whose forwarded address is believed, and how large a body may be."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

_DRAINED_BYTES = 16 * 1_048_576
"""How much of a too-large body is read and thrown away, so that the client gets to read its answer."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


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
                address = _hop(hop)
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


def _hop(text: str) -> str:
    """The address of one hop, which some proxies write with its port. ValueError for what is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    # A zone index (`fe80::1%…`) may hold any text and names nothing on this host.
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


class Disconnected(Exception):
    """The client went away before its request was whole: there was no call."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, or only its beginning when `oversized`. `drained`: the rest was read and thrown away."""

    data: bytes
    oversized: bool = False
    drained: bool = True


def arrived(receive: Receive) -> bool:
    """Whether a request's whole body is here already, so that reading it waits for nothing; False where that is not known."""
    return getattr(getattr(receive, "__self__", None), "more_body", True) is False


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
