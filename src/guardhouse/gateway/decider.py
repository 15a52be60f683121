"""The decider: one digest over what, beside the bundle, a decision depends on."""

from __future__ import annotations

from importlib.metadata import version

from guardhouse.model.canonical import digest, encode

DECIDE_VERSION = 3
"""Raised with every change after which the same call, facts and bundle may be decided otherwise."""

_PARTS = ("cedarpy", "google-re2", "tree-sitter-bash", "sqlglot", "idna")

DECIDER = digest(encode({"decide": DECIDE_VERSION} | {name: version(name) for name in _PARTS}))
