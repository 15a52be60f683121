"""Whether a word or a command opens the server database in which Guardhouse keeps its ledger.

A database is told as `host:port/name`. Every name of this machine is one host, and so is a socket.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

CLIENTS = frozenset(
    ["psql", "pgcli", "usql", "pg_dump", "pg_dumpall", "pg_restore", "dropdb", "createdb", "vacuumdb", "reindexdb", "pgbench", "clusterdb"]
)  # fmt: skip
_URL = re.compile(
    r"(?i)(?:jdbc:)?postgres(?:ql)?(?:\+\w+)?://(?:[^@/]*@)?(?P<host>\[[^\]]*\]|[^:/?,]*)(?::(?P<port>\d+))?(?:,[^/]*)?/(?P<name>[^?#\s'\"]+)(?:\?(?P<more>\S*))?"
)
_HOST = re.compile(r"(?:^|&)host=([^&]+)")
_PAIR = re.compile(r"\b(host|hostaddr|port|dbname)\s*=\s*'?([^\s']+)")
_HERE = frozenset({"", "localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104  names that are compared, nothing listens
_VALUED = {"-h": "host", "--host": "host", "-p": "port", "--port": "port", "-d": "dbname", "--dbname": "dbname"}
_TAKES = frozenset({"-U", "--username", "-c", "--command", "-f", "--file", "-o", "--output", "-v", "-F", "-t", "-n", "-j", "-L", "-P", "-T"})  # fmt: skip


def named(url: str) -> str:
    """The database that a URL names, or empty."""
    match = _URL.search(url)
    if match is None:
        return ""
    within = _HOST.search(match["more"] or "")
    return _told(within[1] if within and not match["host"] else match["host"], match["port"] or "", match["name"])


def opened(words: Sequence[str]) -> Iterator[str]:
    """The databases that a command of `CLIENTS` with these words opens, where they say so."""
    told = {"host": "", "port": "", "dbname": ""}
    plain: list[str] = []
    before = ""
    for word in words:
        if "://" in word:
            yield named(word)
        elif before in _VALUED:
            told[_VALUED[before]] = word
        elif before not in _TAKES and not word.startswith("-"):
            plain.append(word)
        name, equals, value = word.partition("=")
        if equals and name in _VALUED:
            told[_VALUED[name]] = value
        elif word[:2] in _VALUED and len(word) > 2 and word[1] != "-":
            told[_VALUED[word[:2]]] = word[2:]
        before = word
    for text in (told["dbname"], *plain):
        if "=" in text:
            told.update({"host" if key == "hostaddr" else key: value for key, value in _PAIR.findall(text)})
    name = told["dbname"] if "=" not in told["dbname"] else ""
    yield _told(told["host"], told["port"], name or (plain[0] if plain and "=" not in plain[0] else ""))


def _told(host: str, port: str, name: str) -> str:
    plain = host.strip("[]").casefold()
    if plain in _HERE or plain.startswith(("/", "%2f")):
        plain = "localhost"
    return f"{plain}:{port or '5432'}/{name}" if name else ""
