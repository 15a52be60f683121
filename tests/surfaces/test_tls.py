"""HTTPS as it is really served: by the real command, with a certificate of one's own, to every client of ours."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from guardhouse.surfaces import endpoint as endpoints
from guardhouse.surfaces.hooks import shim
from tests.server import Server, environment, guardhouse, serving
from tests.surfaces.hooks.payloads import GIVEN, PAYLOADS, refused
from tests.surfaces.mcp.test_forwarding import spoken
from tests.surfaces.terminal import prepare

ELSEWHERE = "gateway.example.com"
NEAR = ("localhost", "127.0.0.1")
HOOK = Path(shim.__file__).parent


def self_signed(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate for these names that signs itself, and its key: the paths of both."""
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    named = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    public = key.public_key()
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.SubjectAlternativeName(named), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, secret


@dataclass
class Secured:
    """A home whose gateway serves HTTPS, and an agent of it."""

    home: Path
    env: dict[str, str]
    server: Server
    certificate: Path
    token: str
    folder: Path

    @property
    def address(self) -> str:
        return f"https://localhost:{self.server.port}"

    def hook(
        self, use: str = "shell.allow", *, trusted: bool = False, **config: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Ask the hook's shim, installed as `install` does it, about a command."""
        for name in ("shim.py", "clients.py"):
            shutil.copy(HOOK / name, self.folder / name)
        token, path = self.folder / "token", self.folder / "hook.json"
        token.write_text(self.token + "\n")
        held = {"client": "claude-code", "home": str(self.home), "url": "", "token_file": str(token)}
        path.write_text(json.dumps(held | {"posture": "closed", "times_file": ""} | config))
        return subprocess.run(
            [sys.executable, "-I", "-S", str(self.folder / "shim.py"), "claude-code", "--config", str(path)],
            input=json.dumps(PAYLOADS["claude-code"]("shell", GIVEN[use])).encode(),
            capture_output=True,
            env=self.trusting() if trusted else self.env,
            timeout=60,
        )

    def trusting(self, **more: str) -> dict[str, str]:
        """The environment of somebody on another machine, who was given the certificate and a token."""
        return self.env | {"SSL_CERT_FILE": str(self.certificate), "GUARDHOUSE_TOKEN": self.token} | more


@contextmanager
def _secured(folder: Path, names: Sequence[str]) -> Iterator[Secured]:
    home = folder / "home"
    env = environment(home, GUARDHOUSE_CHECKPOINT_SECONDS="600")
    env.pop("SSL_CERT_FILE", None)
    prepare(home)
    added = json.loads(guardhouse(env, "agents", "add", "worker", "--trust", "2", "--json").stdout)
    certificate, key = self_signed(folder / "tls", *names)
    tls = {"GUARDHOUSE_TLS_CERTIFICATE_FILE": str(certificate), "GUARDHOUSE_TLS_KEY_FILE": str(key)}
    with serving(env | tls) as server:
        yield Secured(home, env, server, certificate, added["token"], folder)
        assert server.stop() == 0


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Its certificate names this machine."""
    with _secured(tmp_path_factory.mktemp("near"), NEAR) as made:
        yield made


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Its certificate names the machine by the name that others use, and not the loopback address."""
    with _secured(tmp_path_factory.mktemp("elsewhere"), (ELSEWHERE,)) as made:
        yield made


def _entries(secured: Secured) -> int:
    told = json.loads(guardhouse(secured.env, "call", "verify_audit", "--json").stdout)
    assert told["ok"] is True
    return int(told["tree_size"])


def test_a_call_over_tls_is_verified_against_the_certificate(near: Secured) -> None:
    trusted = ssl.create_default_context(cafile=near.certificate)
    line = http.client.HTTPSConnection("127.0.0.1", near.server.port, timeout=30, context=trusted)
    try:
        for number in range(3):  # on one kept connection
            sent = {"Authorization": f"Bearer {near.token}", "Content-Type": "application/json"}
            line.request("POST", "/v1/check_guardrails", json.dumps({"operation_text": f"ls -l {number}"}), sent)
            answer = line.getresponse()
            told = json.loads(answer.read())
            assert (answer.status, told["verdict"], told["decision_id"][:4]) == (200, "allow", "dec_")
    finally:
        line.close()
    with (
        socket.create_connection(("127.0.0.1", near.server.port), timeout=30) as plain,
        trusted.wrap_socket(plain, server_hostname="localhost") as raw,
    ):
        raw.sendall(b"NONSENSE\r\n\r\n")  # what the guarded protocol says by itself crosses the same line
        heard = b""
        while part := raw.recv(65_536):
            heard += part
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"] == "validation"
    stranger = http.client.HTTPSConnection(
        "127.0.0.1", near.server.port, timeout=30, context=ssl.create_default_context()
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/healthz")
    stranger.close()


def test_who_speaks_plain_http_to_it_is_told_nothing(near: Secured) -> None:
    with socket.create_connection(("127.0.0.1", near.server.port), timeout=30) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        heard = b""
        with suppress(ConnectionError):
            while part := line.recv(65_536):
                heard += part
    assert b"HTTP" not in heard
    assert b"instance" not in heard


def test_this_homes_own_clients_find_it_whatever_its_certificate_names(elsewhere: Secured) -> None:
    found = endpoints.find_endpoint(elsewhere.home)
    assert found is not None
    assert found.address == f"https://127.0.0.1:{elsewhere.server.port}"
    status = json.loads(guardhouse(elsewhere.env, "status", "--json").stdout)
    assert (status["running"], status["address"], status["ready"]["status"]) == (True, found.address, "ready")
    before = _entries(elsewhere)
    assert json.loads(guardhouse(elsewhere.env, "check", "ls", "--json").stdout)["decision_id"]
    assert json.loads(guardhouse(elsewhere.env, "people", "list", "--json").stdout)["people"]
    named = guardhouse(elsewhere.env | {"GUARDHOUSE_URL": found.address}, "call", "list_agents", "--json")
    assert json.loads(named.stdout)["agents"]
    assert _entries(elsewhere) == before + 4
    examined = json.loads(guardhouse(elsewhere.env, "doctor", "--json", check=False).stdout)
    (gateway,) = (one for one in examined["findings"] if one["part"] == "gateway")
    assert gateway["ok"] is True, gateway


@pytest.mark.parametrize("way", ["home", "named"])
def test_mcp_is_forwarded_over_tls(near: Secured, elsewhere: Secured, way: str) -> None:
    if way == "home":
        env = elsewhere.env | {"GUARDHOUSE_TOKEN": elsewhere.token}
    else:
        env = near.trusting(GUARDHOUSE_URL=near.address, GUARDHOUSE_HOME=str(near.folder / "none"))
    with spoken(env) as pipe:
        assert pipe.open()["result"]["serverInfo"]["name"] == "guardhouse"
        for number in range(3):
            taken = pipe.call("acquire_lock", key=f"res:{way}{number}")
            assert taken["structuredContent"]["key"] == f"res:{way}{number}"


def test_who_does_not_trust_the_certificate_is_told_what_to_do_and_sends_nothing(
    near: Secured, elsewhere: Secured
) -> None:
    """A certificate that nobody here vouches for, and one that is trusted and names another host."""
    before = _entries(near), _entries(elsewhere)
    for secured, trusted in ((near, False), (elsewhere, True)):
        env = secured.trusting(GUARDHOUSE_URL=secured.address, GUARDHOUSE_HOME=str(secured.folder / "none"))
        if not trusted:
            del env["SSL_CERT_FILE"]
        refused_there = guardhouse(env, "call", "get_my_profile", check=False)
        assert refused_there.returncode == 69, refused_there
        assert "SSL_CERT_FILE" in refused_there.stderr
        assert len(refused_there.stderr.strip().splitlines()) == 1
        with spoken(env) as pipe:
            assert "SSL_CERT_FILE" in pipe.open()["error"]["message"]
    assert (_entries(near), _entries(elsewhere)) == (before[0] + 1, before[1] + 1)


def test_on_another_machine_the_certificate_is_trusted_by_its_file(near: Secured) -> None:
    env = near.trusting(GUARDHOUSE_URL=near.address, GUARDHOUSE_HOME=str(near.folder / "none"))
    assert json.loads(guardhouse(env, "call", "get_my_profile", "--json").stdout)["trust"] == 2


def test_the_hook_asks_over_tls(near: Secured, elsewhere: Secured) -> None:
    """The gateway of its home by its proof, one that a person named by its certificate, and no other."""
    told = elsewhere.hook()
    assert (told.returncode, told.stdout, told.stderr) == (0, b"{}", b"")
    kept = guardhouse(elsewhere.env, "call", "query_audit", "operation=check_tool", "--json")
    assert [entry["surface"] for entry in json.loads(kept.stdout)["entries"]] == ["hook"]
    for secured, trusted, runs in ((near, True, True), (near, False, False), (elsewhere, True, False)):
        told = secured.hook(trusted=trusted, url=secured.address)
        assert (told.stdout == b"{}") is runs
        assert (refused("claude-code", json.loads(told.stdout)) == "") is runs


@pytest.mark.parametrize("posture", ["closed", "open"])
def test_the_hook_denies_over_tls_and_starts_no_second_gateway(
    elsewhere: Secured, tmp_path: Path, posture: str
) -> None:
    """The certificate names another host. Silence here would switch the guard off, a second gateway take the home's file."""
    marker, stood = tmp_path / "started", (elsewhere.home / "endpoint.json").read_bytes()
    start = [sys.executable, "-c", f"open({str(marker)!r}, 'w')"]
    for use, wanted in (("shell.allow", ""), ("shell.deny", "deny")):
        told = elsewhere.hook(use, posture=posture, start=start)
        assert (told.returncode, told.stderr) == (0, b"")
        assert refused("claude-code", json.loads(told.stdout)) == wanted
        assert ("git.push.force" in told.stdout.decode()) is (use == "shell.deny")
    assert not marker.exists()
    assert (elsewhere.home / "endpoint.json").read_bytes() == stood


def test_while_a_handshake_is_waited_for_no_second_gateway_is_started(elsewhere: Secured, tmp_path: Path) -> None:
    """The gateway's process takes connections and is too busy, for longer than a connection may take to be made."""
    found, home, marker = endpoints.find_endpoint(elsewhere.home), tmp_path / "home", tmp_path / "started"
    assert found is not None
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"https://127.0.0.1:{busy.getsockname()[1]}"
        endpoints.write(home, endpoints.Endpoint(address, found.pid, found.instance, found.secret))
        start = [sys.executable, "-c", f"open({str(marker)!r}, 'w')"]
        told = elsewhere.hook(home=str(home), start=start, seconds=shim.CONNECT_SECONDS + 1)
    assert refused("claude-code", json.loads(told.stdout)) == "deny"
    assert "did not answer in" in told.stdout.decode()
    assert not marker.exists()


@contextmanager
def _stranger(certificate: Path, key: Path) -> Iterator[tuple[int, list[bytes]]]:
    """A TLS port of somebody else's, and all that it is sent."""
    heard: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    body = json.dumps({"status": "ok", "instance": "ours", "proof": "0" * 64}).encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    taken, _ = listener.accept()
                    with suppress(OSError), taken, context.wrap_socket(taken, server_side=True) as line:
                        while part := line.recv(65_536):
                            heard.append(part)
                            line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_no_token_is_sent_to_a_stranger_at_the_gateways_tls_port(elsewhere: Secured, tmp_path: Path) -> None:
    found = endpoints.find_endpoint(elsewhere.home)
    assert found is not None
    with _stranger(*self_signed(tmp_path / "tls", *NEAR)) as (port, heard):
        lie = endpoints.Endpoint(f"https://127.0.0.1:{port}", found.pid, found.instance, found.secret)
        endpoints.write(tmp_path / "home", lie)
        denied = elsewhere.hook(home=str(tmp_path / "home"))
        assert refused("claude-code", json.loads(denied.stdout)) == "deny"
        assert endpoints.find_endpoint(tmp_path / "home") is None
        asked = guardhouse(elsewhere.env | {"GUARDHOUSE_HOME": str(tmp_path / "home")}, "status", check=False)
        assert asked.returncode == 69
    assert len(heard) == 3
    operator = (elsewhere.home / "operator.token").read_text().strip()
    for sent in heard:
        assert elsewhere.token.encode() not in sent
        assert operator.encode() not in sent
        assert b"authorization" not in sent.lower()
