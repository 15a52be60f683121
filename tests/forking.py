"""Starts the program in processes forked from one that has loaded it: a second of imports once, not once a process.

What runs is the real command: its own process, with the arguments, environment, folder and standard streams that it is
given, ended by its own pid. Only that its modules are loaded already differs from a start from nothing, which
`tests/test_wheel.py`, `tests/test_docs.py`, the tests of hooks, of `install` and whoever calls `subprocess` show.

A nursery is a process of its own, so that it has one thread and none of the tests' files and locks when it forks.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import guardhouse
from guardhouse.app import actions
from guardhouse.bundle import child, load, versions
from tests import relay
from tests.compiling import compile_once

READER = "guardhouse.bundle.child"
ANEW = child.command
"""What starts a child that reads law outside of the tests."""

ROOT = Path(__file__).parents[1]
STARTUP = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")
"""Variables that Python and the C library read before a program's first line: other values need another process."""
_LATE = ("psycopg", "sqlalchemy.dialects.postgresql.psycopg", "uvicorn.lifespan.off", "uvicorn.loops.uvloop")
"""What the program's libraries load late."""


class Forked:
    """A running process, as `subprocess.Popen` knows one."""

    def __init__(self, command: Sequence[str], line: socket.socket) -> None:
        self.args = command
        self.returncode: int | None = None
        self._line = line
        self._guard = threading.Lock()
        self._coming = select.poll()
        self._coming.register(line, select.POLLIN)
        try:
            self.pid = relay.told(line)
        except BaseException:
            line.close()
            raise

    def _ended(self, seconds: float | None) -> int | None:
        with self._guard:
            if self.returncode is None and self._coming.poll(None if seconds is None else seconds * 1000):
                self.returncode = relay.told(self._line)
                self._line.close()
            return self.returncode

    def poll(self) -> int | None:
        """Its exit status if it ended; minus the signal's number where one ended it."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it ended; TimeoutExpired after so many seconds."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without warning."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that has loaded the program, started at first use. It ends with the process that made it."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="guardhouse-nursery-")
        self._place = f"{self._folder}/line"
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, module: str, arguments: Sequence[str], env: Mapping[str, str], stdout: int, stderr: int
    ) -> Forked | None:
        """`python -m module arguments` with these streams, in the caller's folder; None where that needs a new start."""
        if _at_startup(env) != _at_startup(_environment()):
            return None
        self._open()
        with open(os.devnull, "rb") as nothing:
            line = relay.ask(self._place, module, arguments, env, (nothing.fileno(), stdout, stderr))
        return Forked([sys.executable, "-m", module, *arguments], line)

    def command(self, module: str) -> list[str]:
        """What to start for `python -m module` where a program can be started only by a command line."""
        self._open()
        return _command(self._place, module)

    def _open(self) -> None:
        with self._guard:
            if self._process is not None:
                return
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(self._place)
                listener.listen(64)
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.forking", str(listener.fileno()), self._place],
                    env=_environment(),
                    cwd=ROOT,
                    pass_fds=[listener.fileno()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                )

    def close(self) -> None:
        """End it. What it started goes on."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(60)
        shutil.rmtree(self._folder)


def _command(place: str, module: str) -> list[str]:
    return [sys.executable, "-I", "-S", relay.__file__, place, module]


def _environment() -> dict[str, str]:
    """As `tests.server.environment`, as far as it matters before a program begins."""
    return os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}


def _at_startup(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(STARTUP)}


def start_readers_by(command: Callable[[], list[str]]) -> None:
    """From now on this process has law from callers read by a child that is started so."""
    child.command = command


def _load(place: str) -> None:
    """Everything that the program may load, also what it loads late, and what it compiles once."""
    for found in pkgutil.walk_packages(guardhouse.__path__, "guardhouse."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in _LATE:
        importlib.import_module(name)
    compile_once()
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "policies"
        load.write_site_skeleton(site)
        versions.load_stored(load.load_directory(site, actions()).files)
    start_readers_by(partial(_command, place, READER))
    gc.collect()
    gc.freeze()


def _nurse(listener: socket.socket) -> str:
    """Fork for whoever asks. Returns in a process that is to run a module, that module's name; elsewhere never."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while 0 not in select.select([0, listener], [], [])[0]:
        line, _address = listener.accept()
        with line:
            try:
                data, streams = relay.asked(line)
            except Exception:  # noqa: BLE001  # who broke off is told nothing, and all others are served
                continue
            if os.fork() == 0:
                listener.close()
                return _become(json.loads(data), streams, line)
            for stream in streams:
                os.close(stream)
    os._exit(0)


def _become(told: Mapping[str, object], streams: Sequence[int], line: socket.socket) -> str:
    """Fork once more: one becomes the program, the other waits for its end and tells it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    program = os.fork()
    if program:
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            relay.tell(line, program)
        status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        with contextlib.suppress(OSError):
            relay.tell(line, status)
        os._exit(0)
    line.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    cwd, env, arguments = told["cwd"], told["env"], told["arguments"]
    assert isinstance(cwd, str)
    assert isinstance(env, dict)
    assert isinstance(arguments, list)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = cwd
    sys.argv = ["", *arguments]
    module = str(told["module"])
    sys.modules.pop(module, None)  # it is run as `__main__`, as if nobody had imported it
    return module


def _run(module: str) -> None:
    """Run a module as a program. At its end, all else done, the process is left without taking every module apart."""
    status: list[int] = []

    def leave() -> None:
        with contextlib.suppress(OSError):  # what cannot be written is told by the interpreter's own end
            sys.stdout.flush()
            sys.stderr.flush()
            if status:
                os._exit(status[0])

    atexit.register(leave)  # the first that is registered comes last
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status.append(0)
    except SystemExit as ended:
        status.append(ended.code & 0xFF if isinstance(ended.code, int) else int(ended.code is not None))
        raise


if __name__ == "__main__":
    _load(sys.argv[2])
    _run(_nurse(socket.socket(fileno=int(sys.argv[1]))))
