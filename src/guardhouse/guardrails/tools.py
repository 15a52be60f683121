"""What a tool's name says of the text that it would run."""

from __future__ import annotations

from functools import lru_cache

_POWERSHELL = frozenset(["powershell", "pwsh", "powershell_ise", "run_powershell"])
_SHELL = frozenset(
    [
        "bash",
        "sh",
        "zsh",
        "fish",
        "shell",
        "terminal",
        "run_shell_command",
        "run_terminal_cmd",
        "run_command",
        "execute_command",
        "local_shell",
        "exec_command",
        "shell_command",
        "run_in_terminal",
        "cmd",
    ]
)
_SQL = frozenset(
    [
        "psql",
        "postgres",
        "postgresql",
        "mysql",
        "mariadb",
        "sqlite",
        "sqlite3",
        "duckdb",
        "clickhouse",
        "bigquery",
        "bq",
        "snowflake",
        "snowsql",
        "redshift",
        "mssql",
        "sqlcmd",
        "oracle",
        "cockroach",
        "trino",
        "presto",
        "cqlsh",
        "sql",
        "execute_sql",
        "run_sql",
        "query",
    ]
)
_FILE = frozenset(
    ["write", "edit", "multiedit", "notebookedit", "write_file", "replace", "apply_patch", "create_file", "str_replace"]
)


@lru_cache(maxsize=1024)
def kind(tool: str) -> str:
    """The kind of text that a tool of this name is given: `shell`, `sql`, `file`, or `auto` where the name says nothing.

    A tool of an MCP server (`mcp__server__tool`) is known by its own name, or else by its server's.
    """
    for name in reversed(tool.lower().replace(".", "__").split("__")):
        if name in _POWERSHELL or name in _SHELL:
            return "shell"
        if name in _SQL or name.endswith("_sql"):
            return "sql"
        if name in _FILE:
            return "file"
    return "auto"


def is_powershell(tool: str) -> bool:
    """Whether the text is PowerShell, whose syntax no other shell reads."""
    return tool.lower().rpartition("__")[2] in _POWERSHELL
