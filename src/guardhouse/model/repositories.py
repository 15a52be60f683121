"""Repositories by name: which one holds what names none."""

from __future__ import annotations

DEFAULT_REPOSITORY = "default"
"""What names no repository, in a session that names none either, belongs to this one."""


def kept_under(repository: str) -> tuple[str, str]:
    """The names under which what belongs to a repository may be stored: rows older than the default's name hold none."""
    return repository, "" if repository == DEFAULT_REPOSITORY else repository
