"""The database beside the corridor, read only: proving must not pass through what it proves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from guardhouse.errors import InvalidInput, NotPerformed, SettingsFault

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from guardhouse.ledger.keys import Verifier
    from guardhouse.settings import Settings

_READING_SECONDS = 6 * 3600.0


def _no_clock() -> int:
    raise AssertionError("reading asks for no time")


@contextmanager
def reading(settings: Settings) -> Iterator[Connection]:
    """One read-only snapshot of this home's database. NotPerformed when it cannot be read, SettingsFault without one."""
    from sqlalchemy.exc import OperationalError, ProgrammingError

    from guardhouse.storage.opening import open_store, unusable
    from guardhouse.storage.sqlite import sqlite_path

    url = settings.resolved_database_url
    if url.startswith("sqlite") and not sqlite_path(url).exists():
        raise SettingsFault(
            f"there is no database at `{sqlite_path(url)}`: run this where the gateway runs, or set GUARDHOUSE_DATABASE_URL"
        )
    store = open_store(url, _no_clock)
    try:
        with store.reading(_READING_SECONDS) as connection:
            yield connection
    except (OperationalError, ProgrammingError) as error:
        raise NotPerformed(
            f"the database cannot be read: {unusable(error)}; is it there, and has `guardhouse migrate` run?"
        ) from error
    finally:
        store.close()


def workspaces(connection: Connection, settings: Settings, named: str) -> list[tuple[str, str]]:
    """(id, slug) of the ledgers to look at: one that is named by slug or id, or every one that there is a trace of."""
    from sqlalchemy import select

    from guardhouse.governance.tables import WORKSPACE
    from guardhouse.ledger.tables import ENTRY, HEAD

    slugs = {row.id: row.slug for row in connection.execute(select(WORKSPACE.c.id, WORKSPACE.c.slug))}
    found = set(slugs) | set(connection.execute(select(HEAD.c.workspace_id)).scalars())
    found |= set(connection.execute(select(ENTRY.c.workspace_id).distinct()).scalars())
    found |= {path.stem for path in (settings.home / "checkpoints").glob("*.log")}
    chosen = sorted(one for one in found if not named or named in (one, slugs.get(one)))
    if not chosen:
        raise InvalidInput(
            f"there is no workspace `{named}`" if named else "there is no workspace: run `guardhouse init`"
        )
    return [(one, slugs.get(one, "")) for one in chosen]


def own_verifiers(settings: Settings) -> tuple[Verifier, ...]:
    """The public side of every key that ever signed in this home; none where there is no signing key."""
    from guardhouse.ledger import keys

    if not settings.resolved_signing_key_file.exists():
        return ()
    return keys.verifiers(settings.resolved_signing_key_file)


def verifiers(given: list[str]) -> tuple[Verifier, ...]:
    """Verifier keys, each given as text or as a file that holds one a line. InvalidInput for one that is damaged."""
    from guardhouse.ledger.keys import Verifier

    found: list[Verifier] = []
    for one in given:
        path = Path(one)
        texts = path.read_text(encoding="utf-8").split() if "+" not in one and path.is_file() else [one]
        for text in texts:
            try:
                found.append(Verifier.parse(text))
            except ValueError as error:
                raise InvalidInput(
                    f"`{text}` is not a verifier key: `guardhouse ledger key` prints one, such as `guardhouse-1a2b…+…+…`"
                ) from error
    return tuple(found)
