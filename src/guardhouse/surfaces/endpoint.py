"""Where our gateway listens, and the proof that it is ours, so that no client sends a token to a stranger's port.

`endpoint.json` in home (mode 0600) holds address, pid, instance and a secret. A client sends a fresh
challenge to `GET /healthz?challenge=…`; only a server that knows the secret can answer with
HMAC-SHA-256(secret, "guardhouse endpoint" | instance | address | challenge). The address is in the
proof, so that a stranger cannot pass the challenge on to the true server and its answer back.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import secrets
import ssl
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from guardhouse.errors import SettingsFault
from guardhouse.storage import private

NAME = "endpoint.json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running gateway: its base address such as `http://127.0.0.1:8420`, its process, its instance id."""

    address: str
    pid: int
    instance: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, address: str) -> Endpoint:
        """This process's endpoint, with a fresh instance id and secret."""
        return cls(address, os.getpid(), secrets.token_hex(8), secrets.token_hex(32))

    def proof(self, challenge: str) -> str:
        """What only the server behind this endpoint can answer."""
        parts = "\n".join(("guardhouse endpoint", self.instance, self.address, challenge))
        return hmac.new(bytes.fromhex(self.secret), parts.encode(), hashlib.sha256).hexdigest()


def write(home: Path, endpoint: Endpoint) -> Path:
    """Write `endpoint.json` whole or not at all, readable by its owner only."""
    private.folder(home)
    target = home / NAME
    private.replaced(target, json.dumps(asdict(endpoint)))
    return target


def read(home: Path) -> Endpoint | None:
    """What `endpoint.json` says, believed only if it is ours and closed to others; None when there is none to believe."""
    try:
        return _believed(home / NAME)
    except SettingsFault:
        return None


def _believed(path: Path) -> Endpoint | None:
    """What the file says; None where there is none. SettingsFault, with how to mend it, where it must not be believed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsFault(f"`{path}` cannot be read: {private.refused(error, path)}") from error
    anew = "then start the gateway anew, which writes another"
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if state.st_uid != os.getuid():
            raise SettingsFault(
                f"`{path}` belongs to another user, so what it says of the gateway is not believed: run this as the user "
                "whose gateway it is, or give the address in GUARDHOUSE_URL and a token of its in GUARDHOUSE_TOKEN"
            )
        if state.st_mode & 0o077:
            raise SettingsFault(
                f"`{path}` is open to others (mode {state.st_mode & 0o777:o}), so what it says of the gateway is not "
                f"believed: run `chmod 600 {path}`; if somebody may have read it, {anew}"
            )
        try:
            value = json.loads(file.read(4096))
            found = Endpoint(str(value["address"]), int(value["pid"]), str(value["instance"]), str(value["secret"]))
            bytes.fromhex(found.secret)
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsFault(f"`{path}` is damaged: remove it, {anew}") from error
    return found


def require_believable(home: Path) -> None:
    """SettingsFault where an `endpoint.json` stands that is not believed: whoever asks must not be told that no gateway runs."""
    _believed(home / NAME)


def remove(home: Path, endpoint: Endpoint) -> None:
    """Take the file away, unless another instance has written its own meanwhile."""
    found = read(home)
    if found is not None and found.instance == endpoint.instance:
        with contextlib.suppress(OSError):
            (home / NAME).unlink()


def keep(home: Path, endpoint: Endpoint) -> None:
    """Put the file back where another gateway of this home has taken its place and ended since."""
    found = read(home)
    if found is None or (found.instance != endpoint.instance and not alive(found.pid)):
        write(home, endpoint)


def alive(pid: int) -> bool:
    """Whether a process of this id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return pid > 0


def find_endpoint(home: Path, timeout_seconds: float = 2.0) -> Endpoint | None:
    """The gateway of this home if it runs and proves itself; None otherwise. Sends no token."""
    endpoint = read(home)
    if endpoint is None or not alive(endpoint.pid):
        return None
    challenge = secrets.token_hex(16)
    try:
        answer = _get(endpoint.address, f"/healthz?challenge={challenge}", timeout_seconds)
        given = str(answer["proof"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    return endpoint if hmac.compare_digest(given.encode(), endpoint.proof(challenge).encode()) else None


def _get(address: str, path: str, timeout_seconds: float) -> dict[str, object]:
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 0
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # The challenge proves who answers, on names no certificate has (127.0.0.1); nothing secret is sent here.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        value = json.loads(connection.getresponse().read(65_536))
    finally:
        connection.close()
    if not isinstance(value, dict):
        raise TypeError("not a health answer")
    return value
