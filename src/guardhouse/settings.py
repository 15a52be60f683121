"""Settings: one frozen value, read once from `GUARDHOUSE_*` variables; every default stands here."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def default_home() -> Path:
    """The user's data directory for Guardhouse, by the platform's custom. ValueError where nothing says whose."""
    if sys.platform == "darwin":
        return _own_folder() / "Library" / "Application Support" / "guardhouse"
    base = os.environ.get("XDG_DATA_HOME", "")
    if base.startswith("/"):
        return Path(base) / "guardhouse"  # a relative one is to be ignored, says the XDG specification
    return _own_folder() / ".local" / "share" / "guardhouse"


def _own_folder() -> Path:
    if os.environ.get("HOME") == "":
        raise ValueError("HOME is empty, so nothing says where state lives: set GUARDHOUSE_HOME")
    return Path.home()


class Settings(BaseSettings):
    """Every setting, its variable and its default. Secrets print as stars."""

    model_config = SettingsConfigDict(env_prefix="GUARDHOUSE_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home, description="where state lives: keys, tokens, database, policies")
    database_url: str = Field("", description="`postgresql://…` or `sqlite:///path`; empty: `guardhouse.db` in home")
    migration_url: str = Field(
        "", description="the owner role's database address for migrations; empty: the same as the database"
    )
    signing_key_file: Path | None = Field(
        None, description="Ed25519 key that signs checkpoints; empty: `signing.key` in home"
    )
    workspace: str = Field(
        "default",
        description="slug of the workspace that `init` and `serve` found, and whose ledger `ledger` speaks of",
    )
    url: str = Field("", description="address of a running gateway for the CLI; empty: `endpoint.json` in home")
    token: SecretStr | None = Field(None, description="bearer token for the CLI; a deliberate act")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8420, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    allow_plain_http: bool = Field(False, description="1 allows a non-loopback address without TLS")
    tls_certificate_file: Path | None = Field(
        None, description="PEM certificate chain; with the key file, serves HTTPS"
    )
    tls_key_file: Path | None = Field(None, description="PEM private key")
    trusted_proxies: str = Field(
        "", description="comma-separated addresses or networks whose `X-Forwarded-For` is believed"
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1024, description="largest request body; larger ones are refused and recorded"
    )
    request_timeout_seconds: float = Field(
        30.0, gt=0, description="longest wait for an answer, except where an operation waits by design"
    )
    fetch_timeout_seconds: float = Field(
        20.0, gt=0, description="statement timeout of read-only answers after the commit"
    )
    mcp_tools: str = Field("core", description="tools that MCP clients are shown: `guard`, `core` or `all`")
    mcp_origins: str = Field(
        "", description="comma-separated origins whose pages may call `/mcp`, such as `https://tools.example.com`"
    )
    notify_command: str = Field("", description="program run once per new approval question, JSON on standard input")
    notify_url: str = Field("", description="URL that each new approval question is POSTed to")
    postgres_pool: int = Field(8, ge=1, le=64, description="most concurrent workspace trains on PostgreSQL")
    sweep_seconds: float = Field(
        5.0, gt=0, description="how often lapsed leases, passed deadlines and what the silent hold are ended"
    )
    checkpoint_seconds: float = Field(1.0, gt=0, description="longest time between checkpoints while entries come")
    log_level: str = Field("info", description="`debug`, `info`, `warning` or `error`")

    @field_validator("home")
    @classmethod
    def _named(cls, value: Path) -> Path:
        if value in (Path(), Path("/")):
            raise ValueError("names no folder: state must not lie wherever a command happens to run")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("use `debug`, `info`, `warning` or `error`")
        return value

    @field_validator("mcp_tools")
    @classmethod
    def _known_set(cls, value: str) -> str:
        if value not in ("guard", "core", "all"):
            raise ValueError("use `guard`, `core` or `all`")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for item in filter(None, (part.strip() for part in value.split(","))):
            try:
                ipaddress.ip_network(item, strict=False)
            except ValueError as error:
                raise ValueError(f"`{item}` is no address or network such as `10.0.0.0/8`") from error
        return value

    @property
    def resolved_database_url(self) -> str:
        """The database address, with the default spelled out."""
        return self.database_url or f"sqlite:///{self.home / 'guardhouse.db'}"

    @property
    def resolved_signing_key_file(self) -> Path:
        """The signing key's file, with the default spelled out."""
        return self.signing_key_file or self.home / "signing.key"
