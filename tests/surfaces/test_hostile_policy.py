"""Must hold 8: hostile policy text over real sockets and from files: an error that names its place, never a crash.

The server is a real process; after each attempt the same process answers the next call.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from guardhouse.bundle import load
from tests.server import guardhouse

GOOD = '@id("a") permit (principal, action, resource) when { %s };'
WIDE = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 12)]
)
TEXTS = {
    "parentheses": GOOD % ("(" * 50_000 + "true" + ")" * 50_000),
    "negations": GOOD % ("!" * 400 + "true"),
    "records": GOOD % ("{a: " * 700 + "1" + "}" * 700 + ".a == 1"),
    "unclosed": '@id("a") permit (' * 30_000,
    "bidi": '@id("a") permit (principal, action, resource); // \u202e',
}
FILES: dict[str, str] = {
    **{f"cedar/{name.replace(' ', '-')}.cedar": text for name, text in TEXTS.items()},
    "network/aliases.yaml": WIDE,
    "guardrails/nested.yaml": "[" * 20_000,
    "native/bidi.yaml": "a: \u202e",
    "playbooks/tagged.yaml": "a: !!python/object/apply:os.getcwd []",
}  # fmt: skip


class Line:
    """A keep-alive connection to the running gateway, as its operator."""

    def __init__(self, home: Path) -> None:
        told = json.loads((home / "endpoint.json").read_text())
        address = urlsplit(told["address"])
        self.pid = told["pid"]
        self.connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        self.token = (home / "operator.token").read_text().strip()

    def send(self, operation: str, body: bytes) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.connection.request("POST", f"/v1/{operation}", body, headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def call(self, operation: str, **body: Any) -> tuple[int, Any]:
        return self.send(operation, json.dumps(body).encode())


@pytest.fixture
def line(running_home: tuple[Path, dict[str, str]]) -> Iterator[Line]:
    made = Line(running_home[0])
    yield made
    made.connection.close()


def test_hostile_text_is_a_problem_with_a_line_and_the_server_answers_the_next(line: Line) -> None:
    for name, text in TEXTS.items():
        status, answer = line.call("validate_cedar_policy", policy_text=text)
        assert status == 200, (name, answer)
        assert answer["valid"] is False, name
        assert answer["problems"], name
        for problem in answer["problems"]:
            assert problem["message"], name
            assert problem["line"] >= 0, name
            assert len(problem["message"]) < 2_000, (name, "an error does not repeat what was sent")
    status, answer = line.call("validate_cedar_policy", policy_text=GOOD % "true", check_schema=False)
    assert (status, answer["valid"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (json.dumps({"policy_text": "x" * 10_000_000}).encode(), 413, "payload_too_large"),
        (json.dumps({"policy_text": "permit\x00"}).encode(), 422, "validation"),
        (b'{"policy_text": "\\ud800"}', 422, "validation"),
        (b'{"policy_text": "\xed\xa0\x80"}', 422, "validation"),
        (b'{"policy_text": ' + b"[" * 100_000, 422, "validation"),
        (b'{"policy_text": 7}', 422, "validation"),
    ],
    ids=["ten megabytes", "NUL", "lone surrogate", "surrogate bytes", "nested", "number"],
)
def test_what_is_no_text_is_refused_at_the_door(line: Line, body: bytes, status: int, code: str) -> None:
    got, answer = line.send("validate_cedar_policy", body)
    assert (got, answer["error"]["code"]) == (status, code), answer
    line.connection.close()
    assert line.call("check_locks")[0] == 200


def test_a_hostile_bundle_is_refused_by_file_and_line_and_the_law_stays(line: Line) -> None:
    before = line.call("policy_history")[1]["activations"][0]
    status, answer = line.call("activate_policy", files={"gateway.yaml": "include: shipped@1\n"} | FILES)
    assert (status, answer["error"]["code"]) == (422, "invalid_bundle"), answer
    named = [fault["field"] for fault in answer["error"]["fields"]]
    assert named
    assert all(name.rpartition(":")[0] in FILES or name in FILES for name in named), named
    assert any(name.rpartition(":")[2].isdigit() for name in named), "a fault names its line"
    for name in ("network/aliases.yaml", "cedar/parentheses.cedar", "cedar/unclosed.cedar"):
        status, answer = line.call("activate_policy", files={"gateway.yaml": "include: shipped@1\n", name: FILES[name]})
        assert (status, answer["error"]["code"]) == (422, "invalid_bundle"), (name, answer)
        assert name in {fault["field"].partition(":")[0] for fault in answer["error"]["fields"]}
        assert len(json.dumps(answer)) < 20_000, "an error does not repeat what was sent"
    assert line.call("policy_history")[1]["activations"][0] == before


def test_hostile_files_are_named_by_the_command_which_does_not_crash(
    running_home: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _home, env = running_home
    load.write_site_skeleton(tmp_path / "site")
    for name, text in FILES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    raw = {
        "cedar/nul.cedar": b"permit\x00",
        "native/surrogate.yaml": b"a: \xed\xa0\x80",
        "network/half.yaml": b"\xff\xfe",
    }
    for name, data in raw.items():
        (tmp_path / "site" / name).write_bytes(data)
    done = guardhouse(env, "policy", "check", str(tmp_path / "site"), check=False)
    said = "".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, done
    assert "Traceback" not in said
    for name in raw:
        assert name in said, name
    (tmp_path / "big" / "cedar").mkdir(parents=True)
    (tmp_path / "big" / "gateway.yaml").write_text("include: shipped@1\n")
    (tmp_path / "big" / "cedar" / "big.cedar").write_text("// x\n" * 2_000_000)
    done = guardhouse(env, "policy", "check", str(tmp_path / "big"), check=False)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr
    assert "bytes" in done.stdout + done.stderr
