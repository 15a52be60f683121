"""Serving: one socket, one event loop, `endpoint.json` while it lasts, and an orderly end."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from guardhouse.errors import SettingsFault
from guardhouse.settings import Settings
from guardhouse.surfaces import endpoint as endpoints
from guardhouse.surfaces.endpoint import Endpoint
from guardhouse.surfaces.hooks.exchange import Exchange
from guardhouse.surfaces.http import HOOKS, App, Door
from guardhouse.surfaces.mcp import mounting
from guardhouse.surfaces.wire import GuardedProtocol

_log = logging.getLogger("guardhouse.serve")
_BACKLOG = 2048
_GRACE_SECONDS = 30


def check_exposure(settings: Settings) -> None:
    """Refuse to send tokens over a network in the clear, or with a certificate that cannot be used. Raises `SettingsFault`."""
    if bool(settings.tls_certificate_file) != bool(settings.tls_key_file):
        raise SettingsFault("set both `GUARDHOUSE_TLS_CERTIFICATE_FILE` and `GUARDHOUSE_TLS_KEY_FILE`, or neither")
    if settings.tls_certificate_file and settings.tls_key_file:
        _check_certificate(settings.tls_certificate_file, settings.tls_key_file)
        return
    if settings.allow_plain_http or _loopback(settings.host):
        return
    raise SettingsFault(
        f"`{settings.host}` can be reached from other machines, and tokens would cross the network in the clear: "
        "set `GUARDHOUSE_TLS_CERTIFICATE_FILE` and `GUARDHOUSE_TLS_KEY_FILE`, or `GUARDHOUSE_ALLOW_PLAIN_HTTP=1` "
        "behind a proxy that ends TLS"
    )


def _check_certificate(certificate: Path, key: Path) -> None:
    """That both files can be read, hold what they should, and belong together."""
    for name, file in (("CERTIFICATE", certificate), ("KEY", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise SettingsFault(f"GUARDHOUSE_TLS_{name}_FILE: `{file}` cannot be read: {error.strerror}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise SettingsFault(
            f"GUARDHOUSE_TLS_CERTIFICATE_FILE and GUARDHOUSE_TLS_KEY_FILE: `{certificate}` and `{key}` are no certificate "
            "and its private key without a password, both in PEM"
        ) from error


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(settings: Settings) -> socket.socket:
    """Take the address. Raises `SettingsFault` that names who has it and what to do."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        # Listening here, not later: two servers that bound the same port would both believe that it is theirs.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            owner = _owner(settings)
            raise SettingsFault(
                f"port {settings.port} on `{settings.host}` is taken by {owner}; stop it, or choose another port "
                f"with `--port {settings.port % 65_535 + 1}` or `GUARDHOUSE_PORT`"
            ) from error
        raise SettingsFault(f"cannot listen on `{settings.host}` port {settings.port}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _owner(settings: Settings) -> str:
    """Who listens on the port, as well as can be told: a Guardhouse of this home, a process, or nobody known."""
    ours = endpoints.read(settings.home)
    if ours is not None and ours.address.endswith(f":{settings.port}") and endpoints.alive(ours.pid):
        return f"this home's own Guardhouse (process {ours.pid}, {ours.address})"
    pid = _listening_process(settings.port)
    if pid is None:
        return "another process (of another user, perhaps)"
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        name = "unknown"
    return f"process {pid} (`{name}`)"


def _listening_process(port: int) -> int | None:
    """The process that listens on a TCP port, by Linux's /proc; None elsewhere or when it is hidden."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            parts = line.split()
            if parts[3] == "0A" and int(parts[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{parts[9]}]")
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(os.readlink(file) in inodes for file in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    return None


def address_of(listener: socket.socket, settings: Settings) -> str:
    """The base address that clients on this machine use."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound: whoever listens everywhere is near at loopback
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    scheme = "https" if settings.tls_certificate_file else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn, which tells when it listens and when it begins to end. SIGTERM finishes requests under way."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None], down: Callable[[], None]) -> None:
        super().__init__(config)
        self._up, self._down = up, down

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second SIGINT stops waiting for requests under way.

        Unlike uvicorn's own, it does not raise the signal again once the loop has ended: that would end
        the process before the caller has carried what waits and written the last checkpoint.
        """
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        else:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._down()
        await super().shutdown(sockets)


def make_server(
    gateway: Any,
    settings: Settings,
    listener: socket.socket,
    *,
    announce: Callable[[Endpoint], None] = lambda _endpoint: None,
    mounts: Mapping[str, App] | None = None,
    **door_options: Any,
) -> tuple[Server, Door]:
    """A server over a bound socket, and its door. `announce` is told the endpoint once it listens."""
    endpoint = Endpoint.new(address_of(listener, settings))
    door = Door(gateway, settings, endpoint=endpoint, mounts=mounts, **door_options)
    mounting.mount(door, gateway)
    door.mount(HOOKS.rstrip("/"), Exchange(door))

    def up() -> None:
        endpoints.write(settings.home, endpoint)
        announce(endpoint)

    config = uvicorn.Config(
        door,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_certfile=str(settings.tls_certificate_file) if settings.tls_certificate_file else None,
        ssl_keyfile=str(settings.tls_key_file) if settings.tls_key_file else None,
    )

    def down() -> None:
        endpoints.remove(settings.home, endpoint)
        door.carriage.end_waits()

    return Server(config, up, down), door


def serve(gateway: Any, settings: Settings, **options: Any) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way. Raises `SettingsFault` before anything is opened.

    The caller closes the gateway afterwards, so that trains under way arrive.
    """
    check_exposure(settings)
    listener = bind(settings)
    server = None
    try:
        server, _door = make_server(gateway, settings, listener, **options)
        server.run(sockets=[listener])
    finally:
        if server is not None:
            server._down()
        listener.close()
