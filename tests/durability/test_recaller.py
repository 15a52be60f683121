"""The process that reads recalls, as a server has it: none at rest, one at work, and never one that is left behind."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durability.load import founded
from tests.server import Server, serving


def children(pid: int) -> list[int]:
    """The processes that a process has started and that have not been waited for."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (each / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    found.append(int(each.name))
    return found


def sockets(pid: int) -> set[str]:
    """The sockets that a process holds at this moment; it may be opening and closing others."""
    held = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.add(os.readlink(each))
    return {each for each in held if each.startswith("socket:")}


@contextlib.contextmanager
def recalled(dialect: str, new_database: Callable[[str], str], home: Path) -> Iterator[tuple[Server, list[int]]]:
    """A server of which two memories were asked for, and the processes that it has started."""
    env, operator = founded(home, new_database(dialect))
    with serving(env) as server:
        token = server.call(operator, "add_agent", {"handle": "w", "trust": 2, "profile": "unlimited"})[1]["token"]
        lesson = {"event_type": "error", "summary": "the heron build is slow"}
        assert server.call(token, "remember", lesson)[0] == 200
        assert children(server.process.pid) == [], "a server at rest has started nothing"
        told: list[Any] = [server.call(token, "recall", {"query": "heron"}) for _ in range(2)]
        assert [[item["summary"] for item in each["memories"]] for _status, each in told] == [[lesson["summary"]]] * 2
        yield server, children(server.process.pid)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_ends_with_its_server(dialect: str, end: str, new_database: Callable[[str], str], tmp_path: Path) -> None:
    with recalled(dialect, new_database, tmp_path / "home") as (server, started):
        [pid] = started
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:-1]
        assert command == [b"-P", b"-m", b"guardhouse.services.recaller"]
        assert b"GUARDHOUSE" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert len(sockets(pid)) <= 1 + (dialect == "postgresql"), "a socket of the server's leaked"
        watched = os.pidfd_open(pid)
        getattr(server, end)()
        assert select.select([watched], [], [], 30)[0], "it outlives its server"
        os.close(watched)
        if end == "stop":
            assert not Path(f"/proc/{pid}").exists(), "nobody has waited for it"
    log = (tmp_path / "home" / "serve.log").read_text()
    assert "recalls" not in log
    assert "Traceback" not in log
