"""How the command line reaches a gateway: the one at GUARDHOUSE_URL, the one of this home, or one in this process."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from guardhouse.errors import GuardhouseError, NotPerformed, SettingsFault, Unauthenticated
from guardhouse.surfaces import endpoint
from guardhouse.surfaces.cli import operator

if TYPE_CHECKING:
    from guardhouse.settings import Settings
    from guardhouse.surfaces.cli.composition import Composition, Opened

_SECONDS = 330.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one call, whichever way it went."""

    code: str
    result: Mapping[str, Any]
    error: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    decision_id: str = ""

    @property
    def performed(self) -> bool:
        """Whether the effect happened."""
        return self.code == "performed"

    @property
    def body(self) -> dict[str, Any]:
        """What `--json` prints: the result, or the error envelope."""
        return dict(self.result) if self.performed else dict(self.error)


class Door(Protocol):
    """Carries calls. `where` says in words which gateway it is; `recorded` is true of every one."""

    where: str

    def call(
        self, operation: str, body: Mapping[str, Any], *, approval_id: str = "", idempotency_key: str = ""
    ) -> Reply: ...

    def schema(self, operation: str) -> Mapping[str, Any]: ...


class HttpDoor:
    """A gateway over HTTP, on one kept connection."""

    def __init__(self, address: str, token: str, *, ours: bool) -> None:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsFault("GUARDHOUSE_URL is not an address such as `http://127.0.0.1:8420`")
        self.where = f"the gateway at {address}"
        self._token = token
        host, port = parts.hostname, parts.port
        self._line: http.client.HTTPConnection
        if parts.scheme == "https":
            import ssl

            context = ssl.create_default_context()
            if ours:
                # endpoint.json proved the server; its certificate need not name the loopback address.
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._line = http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
        else:
            self._line = http.client.HTTPConnection(host, port, timeout=_SECONDS)

    def call(
        self, operation: str, body: Mapping[str, Any], *, approval_id: str = "", idempotency_key: str = ""
    ) -> Reply:
        """POST one call."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        if approval_id:
            headers["Guardhouse-Approval"] = approval_id
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            self._line.request("POST", f"/v1/{operation}", json.dumps(body), headers)
            answer = self._line.getresponse()
            status, data = answer.status, answer.read()
            value = json.loads(data)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._line.close()
            if type(error).__name__ == "SSLCertVerificationError":  # by name: `ssl` is loaded for `https://` alone
                raise SettingsFault(
                    f"the certificate of {self.where} is not one that this machine trusts for that name; where an "
                    "authority of yours signed it, name its PEM file in SSL_CERT_FILE"
                ) from error
            raise NotPerformed(f"{self.where} does not answer; is it running? `guardhouse status` tells") from error
        told = value.get("error") if isinstance(value, dict) else None
        if status == 200 and isinstance(value, dict) and "decision_id" in value:
            return Reply("performed", value, decision_id=str(value["decision_id"]))
        if not isinstance(told, dict) or status == 200:
            raise SettingsFault(
                f"what answers as {self.where} is no Guardhouse: look at GUARDHOUSE_URL, and at `guardhouse status`"
            )
        return Reply(
            str(told.get("code", "internal_error")),
            {},
            value,
            str(told.get("message", "")),
            str(told.get("decision_id", "")),
        )

    def schema(self, operation: str) -> Mapping[str, Any]:
        """The operation's input schema as this gateway documents it; loading our own catalog would cost a second."""
        try:
            self._line.request("GET", "/openapi.json")
            document = json.loads(self._line.getresponse().read())
            content = document["paths"][f"/v1/{operation}"]["post"]["requestBody"]["content"]
            wanted = content["application/json"]["schema"]
            if "$ref" in wanted:
                named, wanted = wanted["$ref"], document
                for part in named.removeprefix("#/").split("/"):
                    wanted = wanted[part]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            self._line.close()
            return {}
        return {**wanted, "components": document.get("components", {})}

    def close(self) -> None:
        """End the connection."""
        self._line.close()


class LocalDoor:
    """A gateway in this process, over the local database."""

    where = "the local database"

    def __init__(self, opened: Opened, token: str, composition: Composition) -> None:
        self._composition = composition
        self._opened = opened
        self._gateway = opened.gateway
        self._token = token

    def schema(self, operation: str) -> Mapping[str, Any]:
        """The operation's input schema."""
        return self._composition.input_schema(operation)

    def call(
        self, operation: str, body: Mapping[str, Any], *, approval_id: str = "", idempotency_key: str = ""
    ) -> Reply:
        """Carry one call through the gateway in this process."""
        import uuid

        from guardhouse.model.call import RawCall
        from guardhouse.surfaces import problem

        request = f"cli-{uuid.uuid4().hex[:16]}"
        raw = RawCall(
            operation,
            json.dumps(body).encode(),
            self._token,
            "cli",
            request_id=request,
            idempotency_key=idempotency_key or None,
            approval_id=approval_id or None,
        )
        try:
            outcome = self._gateway.handle(raw)
        except NotPerformed as error:
            # There is no other process whose log would say why: the ground's own fault is the answer, if it has one.
            self._opened.require_sound()
            return Reply(error.code, {}, problem.of_error(error, request), error.message)
        except GuardhouseError as error:
            return Reply(error.code, {}, problem.of_error(error, request), error.message)
        if outcome.performed:
            result = {"decision_id": outcome.decision_id, **(outcome.result or {})}
            return Reply("performed", result, decision_id=outcome.decision_id)
        envelope = problem.of_outcome(outcome, request)
        return Reply(outcome.code, {}, envelope, str(envelope["detail"]), outcome.decision_id)


def running() -> endpoint.Endpoint | None:
    """The gateway that serves this home, if it runs and proves itself.

    SettingsFault, with the repair, where the file that would say so must not be believed.
    """
    home = operator.home()
    found = endpoint.find_endpoint(home)
    if found is None:
        endpoint.require_believable(home)
    return found


def local_settings(composition: Composition) -> Settings:
    """The settings under which this home's database can be opened; SettingsFault when there is none."""
    settings = composition.settings()
    if settings.resolved_database_url.startswith("sqlite") and not (
        settings.database_url or (settings.home / "guardhouse.db").exists()
    ):
        raise SettingsFault(f"there is no gateway running and no database in `{settings.home}`: run `guardhouse init`")
    return settings


def token_for(address: str) -> str:
    """The token for a gateway that nothing proves to be ours: one that was given on purpose, over no open network."""
    require_private_line(address)
    given = os.environ.get("GUARDHOUSE_TOKEN", "").strip()
    if not given:
        raise Unauthenticated(
            "GUARDHOUSE_URL names a gateway that has not proved to be this home's, and the operator's token is sent "
            "to no other: give a token of that gateway in GUARDHOUSE_TOKEN, or leave GUARDHOUSE_URL out"
        )
    return given


def require_private_line(address: str) -> None:
    """SettingsFault for an address at which a token would cross a network in the clear."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    host = parts.hostname or ""
    near = host in ("localhost", "::1") or host.startswith("127.")
    if parts.scheme == "http" and host and not near and os.environ.get("GUARDHOUSE_ALLOW_PLAIN_HTTP") != "1":
        raise SettingsFault(
            "GUARDHOUSE_URL is neither `https://` nor on this machine, so a token would cross the network in the clear: "
            "use its `https://` address, or set GUARDHOUSE_ALLOW_PLAIN_HTTP=1 where the network itself is private"
        )


@contextmanager
def open_door(composition: Composition, token: str = "") -> Iterator[Door]:
    """The nearest gateway. A token is read only when it is known to whom it will be sent."""
    named = os.environ.get("GUARDHOUSE_URL", "")
    found = running()
    if named and (found is None or found.address != named.rstrip("/")):
        line = HttpDoor(named, token or token_for(named), ours=False)
        try:
            yield line
        finally:
            line.close()
        return
    if found is not None:
        line = HttpDoor(found.address, token or operator.token(), ours=True)
        try:
            yield line
        finally:
            line.close()
        return
    with composition.open(local_settings(composition)) as opened:
        yield LocalDoor(opened, token or operator.token(), composition)
