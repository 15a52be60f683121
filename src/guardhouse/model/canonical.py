"""Canonical bytes: one byte string for one value, and the digests that are taken of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

import orjson

_CANONICAL = orjson.OPT_SORT_KEYS
"""Keys sorted, no white space, UTF-8. Values are str, int, bool, None, lists and dicts: no floats."""


def encode(value: Any) -> bytes:
    """Canonical JSON of a plain value; TypeError when it holds something JSON has no word for."""
    return orjson.dumps(value, option=_CANONICAL)


def decode(data: bytes | str) -> Any:
    """The value that canonical (or any) JSON text stands for; ValueError when it is not JSON."""
    return orjson.loads(data)


def texts(value: Any) -> Iterator[str]:
    """Every text in a plain value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, held in value.items():
            yield name
            yield from texts(held)
    elif isinstance(value, list):
        for held in value:
            yield from texts(held)


def digest(data: bytes) -> str:
    """`sha256:` and the hexadecimal SHA-256 of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def keyed_digest(key: bytes, purpose: str, data: bytes) -> str:
    """`hmac:` and HMAC-SHA-256 under a workspace key, separated by purpose.

    Used wherever a digest of caller content must be matched later: unlike a bare hash it cannot be
    guessed from the ledger after the content was erased.
    """
    return "hmac:" + hmac.digest(key, purpose.encode() + b"\x00" + data, "sha256").hex()
