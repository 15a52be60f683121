"""The repository that a command stands in, and what its own `.guardhouse.yaml` asks for."""

from __future__ import annotations

import os

from guardhouse.errors import InvalidInput

FILE_NAME = ".guardhouse.yaml"
MOST_BYTES = 65_536
"""The same as the engine's, which is not loaded for them: a command must start quickly. A test holds them equal."""


def repository(cwd: str) -> tuple[str, str]:
    """(the root of the repository around a directory, the text of its `.guardhouse.yaml`); empty where there is none.

    At most one byte more than the engine takes is read, so that a longer file is told as one. InvalidInput where the
    file is there and cannot be read: what it forbids must not be left out in silence.
    """
    folder = os.path.abspath(cwd or os.curdir)
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return "", ""
        folder = parent
    path = os.path.join(folder, FILE_NAME)
    try:
        with open(path, "rb") as file:
            return folder, file.read(MOST_BYTES + 1).decode("utf-8", "replace")
    except FileNotFoundError:
        return folder, ""
    except OSError as error:
        raise InvalidInput(f"`{path}` cannot be read ({error.strerror}): mend it or take it away") from error
