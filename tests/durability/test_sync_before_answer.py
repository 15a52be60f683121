"""No answer leaves before a sync of its entry: seen from outside, in the system calls of the real process."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.server import environment, guardhouse, serving

CALLS = 25


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace shows the order of system calls; it is not installed"
)
def test_every_answer_follows_a_sync_of_the_log(tmp_path: Path) -> None:
    env = environment(tmp_path / "home")
    token = json.loads(guardhouse(env, "init", "--json").stdout)["operator_token"]
    added = guardhouse(env | {"GUARDHOUSE_TOKEN": token}, "agents", "add", "w", "--trust", "2", "--json")
    agent = json.loads(added.stdout)["token"]
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg"
    wrap = ("strace", "-f", "-y", "-s", "64", "-o", str(trace), "-e", calls)
    with serving(env, wrap=wrap) as server:
        connection = server.connect()
        for number in range(CALLS):
            operation = "check_guardrails" if number % 2 else "acquire_lock"
            body = {"operation_text": "ls"} if number % 2 else {"key": f"res:{number}"}
            status, _ = server.call(agent, operation, body, connection)
            assert status == 200
    waiting = synced = False
    answers = 0
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r"(read|recvfrom|recvmsg)\(.*(socket|TCP).*POST /v1/", line) or (
            "POST /v1/" in line and "resumed" in line
        ):
            waiting, synced = True, False
        elif re.search(r"f(data)?sync\(\d+<[^>]*-wal>", line):
            synced = True
        elif waiting and re.search(r"(write|writev|sendto|sendmsg)\(.*HTTP/1\.1 200", line):
            assert synced, line
            answers += 1
            waiting = False
    assert answers == CALLS, "the trace does not show every answer"
