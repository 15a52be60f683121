"""A call: who asks for which operation on what. The part of it that is judged and recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Category(StrEnum):
    """Cedar action groups, weakest first. `admin` includes every operation that governs."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


SURFACES = ("http", "hook", "mcp", "cli")
"""The doors that a call can come through, as entries and policies name them."""

HOUSE = "house"
"""The surface of the gateway's own housekeeping. No door calls itself so."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What a call touches: a Cedar entity type, its canonical id, and the repository it lies in (or "")."""

    type: str
    id: str
    repository: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type, "id": self.id} | ({"repository": self.repository} if self.repository else {})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Resource:
        return cls(value["type"], value["id"], value.get("repository", ""))


@dataclass(frozen=True, slots=True)
class RawCall:
    """What a door hands in, before anything is believed. `body` is the JSON text as received.

    `oversized`: the body was longer than the door takes and `body` is only its beginning.
    `suppressed`: how many calls of this principal the door refused from memory since the last one.
    `media_type`: what the door's protocol called the body when that was not JSON.
    """

    operation: str
    body: bytes
    token: str | None
    surface: str
    address: str = ""
    request_id: str = ""
    idempotency_key: str | None = None
    approval_id: str | None = None
    oversized: bool = False
    suppressed: int = 0
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a known principal's call could not be understood; judged like everything else, never carried."""

    code: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One canonical call. Holds no payload: everything here stands in the entry and is enough to decide again.

    `digest` is an HMAC over (operation, resource, payload) under the workspace key; `idempotency` the
    HMAC of the key the caller sent, or "". `size` is the body's length in bytes. `address` is the
    caller's network address as the door believes it. `governs`: only people may ask for this operation.
    """

    id: str
    operation: str
    category: Category
    resource: Resource
    surface: str
    address: str
    size: int
    digest: str
    approval_id: str = ""
    idempotency: str = ""
    fault: Fault | None = None
    governs: bool = False
    labels: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The recorded form, without what the entry already says at its top level (id, operation, resource)."""
        value: dict[str, Any] = {"digest": self.digest, "size": self.size}
        if self.address:
            value["address"] = self.address
        if self.approval_id:
            value["approval_id"] = self.approval_id
        if self.idempotency:
            value["idempotency"] = self.idempotency
        if self.governs:
            value["governs"] = True
        if self.labels:
            value["labels"] = list(self.labels)
        if self.fault:
            value["fault"] = {"code": self.fault.code, "message": self.fault.message}
        return value

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> Call:
        """The call that an entry's body records, for replay."""
        call = entry["call"]
        fault = call.get("fault")
        return cls(
            id=entry["id"],
            operation=entry["operation"],
            category=Category(entry["category"]),
            resource=Resource.from_json(entry["resource"]),
            surface=entry["surface"],
            address=call.get("address", ""),
            size=call["size"],
            digest=call["digest"],
            approval_id=call.get("approval_id", ""),
            idempotency=call.get("idempotency", ""),
            fault=Fault(fault["code"], fault["message"]) if fault else None,
            governs=call.get("governs", False),
            labels=tuple(call.get("labels", ())),
        )
