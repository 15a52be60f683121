"""The hook shim: a client's payload on standard input, its native answer on standard output, a gateway asked between.

    python -I -S shim.py CLIENT --config FILE

Standard library only, and no import of ours: `guardhouse install` copies this file and `clients.py` beside each other
into the home, so that they answer also where the package is gone. FILE (mode 0600, written by `install`):

    {"client": "codex", "home": "/…", "url": "", "token_file": "/…", "posture": "closed", "start": ["/…/guardhouse", "serve"], "seconds": 20}

`url` empty: the gateway of `home`, which must prove itself before the token is sent. `posture` is what happens where no
gateway answers: `closed` (the default, also where FILE or the token cannot be read) denies, `open` says nothing. `start` is run
once, under a lock, when the gateway of `home` does not answer. `seconds`, at most 20, is after how long from its start
the shim answers whatever it waits for: before any client gives it up, since most of them then run the tool. The exit status is 0, whatever the answer; 2 with the
reason on standard error where not even that could be written, which every client reads as a denial.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# This runs before every tool of an agent, so it loads next to nothing: `json`, `socket`, `typing`, `contextlib` and
# `hashlib` each cost more than the question itself. What stands in for two of them falls back on them where it must.

MOST, MOST_CONTEXT = 4 * 1024 * 1024, 64 * 1024
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 20.0
"""All that the shim may take. `install` gives every client a timeout well above it."""
START_SECONDS, MOST_TIMES, LAST = 3.0, 8 * 1024, 100  # the last two: how large the times may grow, and how many stay
_NAMES = ("claude-code", "codex", "gemini", "cursor", "copilot", "opencode")


class Fault(Exception):
    """The gateway could not be asked: why, and what the person runs."""

    def __init__(self, cause: str, repair: str = "guardhouse doctor") -> None:
        super().__init__(cause)
        self.repair = repair


class Unheard(Fault):
    """The question was sent and no answer came: asking again would ask twice."""


def _parsed(data: bytes | str) -> Any:
    """A JSON value; ValueError for what is none."""
    text = (data.decode() if isinstance(data, bytes) else data).strip(" \t\r\n")
    try:
        from _json import make_scanner

        scan = make_scanner(_Plain)  # type: ignore[arg-type]  # it reads these attributes of whatever it is given
    except (ImportError, AttributeError, TypeError):
        import json

        return json.loads(text)
    try:
        value, end = scan(text, 0)
    except (StopIteration, SystemError):  # the latter where it cannot find `json.decoder`, which is not loaded
        raise ValueError("no JSON") from None
    if end != len(text):
        raise ValueError("more than one value")
    return value


class _Plain:
    """How the scanner makes values: as `json.loads` does."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012  # the scanner's own, of one run


def _quoted(text: str) -> str:
    """A JSON string in ASCII."""
    try:
        from _json import encode_basestring_ascii
    except ImportError:
        import json

        return json.dumps(text)
    return encode_basestring_ascii(text)


def _proof(secret: bytes, text: bytes) -> str:
    """HMAC-SHA-256 (RFC 2104) in hexadecimal."""
    for name in ("_sha256", "_sha2", "hashlib"):
        try:
            sha256 = __import__(name).sha256
        except (ImportError, AttributeError):
            continue
        key = (sha256(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
        inner = sha256(bytes(one ^ 0x36 for one in key) + text).digest()
        return str(sha256(bytes(one ^ 0x5C for one in key) + inner).hexdigest())
    raise Fault("this Python has no SHA-256")


class _Line:
    """A connection that is read by lines and lengths."""

    def __init__(self, host: str, port: int, secure: bool) -> None:
        self._socket = _socket.socket(_socket.AF_INET6 if ":" in host else _socket.AF_INET, _socket.SOCK_STREAM)
        self._held = b""
        try:
            self._socket.settimeout(CONNECT_SECONDS)
            self._socket.connect((host, port))
            self._socket.settimeout(ANSWER_SECONDS)  # a gateway that lives may be busy: none is started beside it
            if secure:  # the proof tells who answers, on a name that no certificate need have; until then nothing secret is sent
                import ssl

                self._socket = ssl._create_unverified_context().wrap_socket(self._socket)  # type: ignore[arg-type]  # noqa: S323
        except BaseException:
            self.close()
            raise

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def readline(self, most: int) -> bytes:
        while (at := self._held.find(b"\n")) < 0:
            if len(self._held) > most or not self._more():
                raise ValueError("no line")
        line, self._held = self._held[: at + 1], self._held[at + 1 :]
        return line

    def read(self, size: int) -> bytes:
        while len(self._held) < size and self._more():
            pass
        data, self._held = self._held[:size], self._held[size:]
        return data

    def _more(self) -> bool:
        got = self._socket.recv(65_536)
        self._held += got
        return bool(got)

    def close(self) -> None:
        self._socket.close()


def main(arguments: list[str]) -> int:
    """Answer one payload; the exit status."""
    started = time.perf_counter()
    client = arguments[0] if arguments else ""
    config: dict[str, Any] = {}
    watch, payload = _Watch(), b""
    if client not in _NAMES:
        sys.stderr.write(f"no client `{client}`; known: {', '.join(_NAMES)}\n")
        return 2
    try:
        watch.set(ANSWER_SECONDS)
        config = _config(arguments)
        watch.set(_seconds(config))
        payload = _payload(config)
        answer = _asked(client, config, _with_context(payload))
        watch.end()
    except Exception as error:  # noqa: BLE001  # whatever fails here, the client must read a denial
        watch.end()
        fault = error if isinstance(error, Fault) else _own(config, f"the hook failed ({type(error).__name__})")
        answer = _unanswered(client, config, payload, str(fault), fault.repair)
    try:
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
    except OSError:
        sys.stderr.write(
            "Guardhouse could not answer this hook, so the tool was not let run. Repair: guardhouse doctor\n"
        )
        # What is left in the buffer must not fail once more at the end, with another status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 2
    _note(config, started)
    return 0


class _Watch:
    """Raises Unheard in whatever waits when the time is up; once, and never after `end`."""

    def __init__(self) -> None:
        # `signal` itself brings `enum` along, which costs more than the question.
        import _signal  # type: ignore[import-not-found]  # a module of the interpreter's own, without a stub

        self._signal = _signal
        self._over, self._most = False, 0.0

    def set(self, seconds: float) -> None:
        self._most = seconds
        self._signal.signal(self._signal.SIGALRM, self._late)
        self._signal.setitimer(self._signal.ITIMER_REAL, seconds)

    def end(self) -> None:
        self._over = True
        self._signal.setitimer(self._signal.ITIMER_REAL, 0)

    def _late(self, *_: object) -> None:
        if not self._over:
            self._over = True
            raise Unheard(f"the gateway did not answer in {self._most:g} seconds")


def _seconds(config: dict[str, Any]) -> float:
    value = config.get("seconds")
    return min(float(value), ANSWER_SECONDS) if isinstance(value, int | float) and value > 0 else ANSWER_SECONDS


def _note(config: dict[str, Any], started: float) -> None:
    """A line for `guardhouse doctor`: in how many milliseconds; when, the file itself tells. It never stands in an answer's way."""
    path = config.get("times_file")
    if not isinstance(path, str) or not path:
        return
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError:
        return
    try:
        size = os.fstat(handle).st_size
        if size > MOST_TIMES and (held := os.pread(handle, MOST_TIMES, size - MOST_TIMES)):
            os.ftruncate(handle, 0)
            os.write(handle, b"".join(held.splitlines(True)[-LAST:]))
        os.write(handle, b"%.1f\n" % ((time.perf_counter() - started) * 1000))
    except OSError:
        return
    finally:
        os.close(handle)


def _payload(config: dict[str, Any]) -> bytes:
    if len(made := sys.stdin.buffer.read(MOST + 1)) > MOST:
        raise _own(config, "the client's payload is larger than 4 MiB, so do it in smaller parts")
    return made


def _own(config: dict[str, Any], cause: str, repair: str = "guardhouse doctor") -> Fault:
    """A fault of the hook's own. A gateway may well run, so the posture, which is for where none does, lets nothing pass."""
    config["posture"] = "closed"
    return Fault(cause, repair)


def _config(arguments: list[str]) -> dict[str, Any]:
    if len(arguments) != 3 or arguments[1] != "--config":
        raise Fault("the hook was called without `--config FILE`", "guardhouse install CLIENT")
    try:
        with open(arguments[2], "rb") as file:
            made = _parsed(file.read(MOST_CONTEXT))
    except (OSError, ValueError):
        raise Fault("the hook's configuration cannot be read", "guardhouse install CLIENT") from None
    if not isinstance(made, dict):
        raise Fault("the hook's configuration is no JSON object", "guardhouse install CLIENT")
    return made


def _token(config: dict[str, Any]) -> str:
    try:
        with open(str(config.get("token_file", "")), "rb") as file:
            token = file.read(4096).decode("ascii").strip()
    except (OSError, ValueError):
        token = ""
    if not token or not token.isprintable():
        raise _own(config, "the hook's token cannot be read", "guardhouse install CLIENT")
    return token


def _asked(client: str, config: dict[str, Any], payload: bytes) -> bytes:
    token = _token(config)
    url = str(config.get("url") or "")
    if url:
        return _over_url(f"{url.rstrip('/')}/v1/hooks/{client}", token, payload)
    home = str(config.get("home") or "")
    try:
        return _over_home(home, client, token, payload)
    except Fault as fault:
        if isinstance(fault, Unheard) or config.get("start") is None:
            raise
        first = fault
    held = _start(home, config)
    if held is None:
        raise first
    deadline = time.monotonic() + START_SECONDS
    while True:
        ended = held[1] is not None and held[1].poll() is not None
        try:
            return _over_home(home, client, token, payload)
        except Fault as fault:
            if isinstance(fault, Unheard) or (time.monotonic() > deadline and not ended):
                raise
            if ended:
                raise Fault(f"no gateway runs, and it did not start: {home}/serve.log says why") from None
            time.sleep(0.05)


def _over_home(home: str, client: str, token: str, payload: bytes) -> bytes:
    """Ask the gateway of a home over one connection: first its proof, then the question."""
    endpoint = _endpoint(home)
    host, port, secure = _place(str(endpoint["address"]))
    challenge = os.urandom(16).hex()
    parts = "\n".join(("guardhouse endpoint", str(endpoint["instance"]), str(endpoint["address"]), challenge))
    wanted = _proof(bytes.fromhex(str(endpoint["secret"])), parts.encode())
    line: _Line | None = None
    asked = False
    try:
        line = _Line(host, port, secure)
        line.send(f"GET /healthz?challenge={challenge} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        _, body = _answer(line)
        if not _same(str(_parsed(body).get("proof", "")), wanted):
            raise Fault("another program answers where the gateway was")
        asked = True
        line.send(_request(f"{host}:{port}", f"/v1/hooks/{client}", token, payload))
        status, body = _answer(line)
    except (OSError, ValueError, AttributeError) as error:
        raise (Unheard if asked else Fault)(f"the gateway does not answer ({type(error).__name__})") from None
    finally:
        if line is not None:
            line.close()
    if status != 200:
        raise Unheard(f"the gateway answered with status {status}")
    return body


def _same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, told in a time that does not say how far they are."""
    from _operator import _compare_digest  # what `hmac.compare_digest` is

    return bool(_compare_digest(given.encode("utf-8", "replace"), wanted.encode()))


def _endpoint(home: str) -> dict[str, Any]:
    """`endpoint.json`, believed only if it is ours and closed to others."""
    try:
        descriptor = os.open(os.path.join(home, "endpoint.json"), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        raise Fault("no gateway runs") from None
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if state.st_uid != os.getuid() or state.st_mode & 0o077:
            raise Fault("endpoint.json is not this user's own")
        try:
            made = _parsed(file.read(4096))
            bytes.fromhex(made["secret"])
        except (ValueError, KeyError, TypeError):
            raise Fault("endpoint.json cannot be read") from None
    return dict(made)


def _place(address: str) -> tuple[str, int, bool]:
    """Host and port of an address, and whether TLS is spoken there."""
    scheme, _, rest = address.partition("://")
    host, _, port = rest.strip("/").rpartition(":")
    if scheme not in ("http", "https") or not port.isdecimal():
        raise Fault("endpoint.json cannot be read")
    return host.strip("[]"), int(port), scheme == "https"


def _request(host: str, path: str, token: str, payload: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + payload


def _answer(file: _Line) -> tuple[int, bytes]:
    """One HTTP answer with a declared length."""
    line = file.readline(65_536).split(None, 2)
    if len(line) < 2 or not line[0].startswith(b"HTTP/1."):
        raise ValueError("not HTTP")
    length = None
    while (header := file.readline(65_536).strip()) != b"":
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length is None or length > MOST:
        raise ValueError("no length")
    body = file.read(length)
    if len(body) != length:
        raise ValueError("cut short")
    return int(line[1]), body


def _over_url(url: str, token: str, payload: bytes) -> bytes:
    """Ask a gateway at an address that a person wrote down, and nowhere that it sends us on to; TLS is verified."""
    from urllib import request

    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if not url.startswith(("https://", "http://")):
        raise Fault("the gateway's address is no URL", "guardhouse install CLIENT")
    straight = type("Straight", (request.HTTPRedirectHandler,), {"redirect_request": lambda *_told: None})
    try:
        with request.build_opener(straight).open(request.Request(url, payload, sent), timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            if answer.status == 200 and answer.headers.get_content_type() == "application/json":
                return bytes(answer.read(MOST))
    except (OSError, ValueError) as fault:
        named = f"status {fault.code}" if hasattr(fault, "code") else type(fault).__name__
        raise Fault(f"the gateway does not answer ({named})") from None
    raise Fault("what answers is not Guardhouse")


def _start(home: str, config: dict[str, Any]) -> tuple[int, Any] | None:
    """Start the gateway, unless one started so still runs: (the lock, which lives as long as it; it, or None)."""
    argv = config.get("start")
    if not isinstance(argv, list) or not argv or not all(isinstance(one, str) for one in argv):
        return None
    import fcntl
    from subprocess import DEVNULL, Popen

    try:
        lock = os.open(os.path.join(home, "hook-start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fault(f"no gateway runs, and the home cannot be written ({type(error).__name__})") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return lock, None
    env = dict(os.environ) | {"GUARDHOUSE_HOME": home}
    try:
        with open(os.path.join(home, "serve.log"), "ab") as log:
            process = Popen(  # noqa: S603  # an absolute path that `install` wrote
                argv, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env, cwd=home, pass_fds=(lock,)
            )
    except OSError as error:
        raise Fault(f"no gateway runs, and it cannot be started ({type(error).__name__})") from None
    return lock, process


def _with_context(payload: bytes) -> bytes:
    """The payload with what the gateway may not know of this machine: the working tree's root and its own tightening."""
    try:
        made = _parsed(payload)
        at = made["cwd"] if "cwd" in made else made.get("directory") or made["workspace_roots"][0]
        root, own = _around(at)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return payload
    if not root and not own:
        return payload
    known = (("workspace_root", root), ("tighten", own))
    context = ",".join(f'"{name}":{_quoted(text)}' for name, text in known if text)
    # Added at the object's end, so that what the client sent stays as it was, and a name of its own gives way.
    return payload.rstrip(b" \t\r\n")[:-1] + f',"guardhouse_context":{{{context}}}}}'.encode()


def _around(at: str) -> tuple[str, str]:
    """The working tree around a directory, and every `.guardhouse.yaml` above: a repository made inside one loosens nothing."""
    root, found, place, below = "", list[str](), os.path.abspath(at), ""
    while place != below and len(found) < 64:
        path = os.path.join(place, ".guardhouse.yaml")
        if (there := os.path.lexists(path)) or os.path.lexists(os.path.join(place, ".git")):
            root = root or place
        if there:
            try:
                with open(path, "rb") as file:
                    text = file.read(MOST_CONTEXT + 1)
            except (OSError, ValueError):
                text = b"unreadable: ["  # what nobody understands: it must not pass for an absent file
            found.insert(0, text.decode("utf-8", "replace"))
        place, below = os.path.dirname(place), place
    made = "\n---\n".join(found)
    return root, made if len(made) <= MOST_CONTEXT else "too long: ["


def _unanswered(client: str, config: dict[str, Any], payload: bytes, cause: str, repair: str) -> bytes:
    """A native denial that names the cause and the person's repair; silence where the posture is open."""
    import contextlib
    import importlib.util
    import json

    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients.py")
    spec = importlib.util.spec_from_file_location("guardhouse_hook_clients", place)
    assert spec is not None
    assert spec.loader is not None
    clients = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(clients)
    event = ""
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        made = json.loads(payload)
        event = str(made.get("hook_event_name") or made.get("event") or "")
    if config.get("posture") == "open" or not clients.asks(client, event):
        return bytes(clients.SILENCE[client])
    told = (
        f"Guardhouse could not be asked about this: {cause.rstrip('.')}. So the tool was not let run. Do not try another "
        f"way: tell the person, who repairs it with `{repair.replace('CLIENT', client)}`."
    )
    return json.dumps(clients.answer(client, event, "block", told)).encode()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SystemExit:
        raise
    except BaseException as failure:  # noqa: BLE001  # the last word: every client reads status 2 as a denial
        sys.stderr.write(
            f"Guardhouse could not answer this hook ({type(failure).__name__}), so the tool was not let run.\n"
        )
        sys.exit(2)
