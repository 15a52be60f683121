"""The repository that a command stands in, and what its own `.guardhouse.yaml` asks for."""

from __future__ import annotations

import os

from guardhouse.errors import InvalidInput

FILE_NAME = ".guardhouse.yaml"
MOST_BYTES = 65_536
"""The same as the engine's, which is not loaded for them: a command must start quickly. A test holds them equal."""


def repository(cwd: str) -> tuple[str, str]:
    """(the root of the repository around a directory, the texts of every `.guardhouse.yaml` above it as YAML documents).

    The outermost file comes first, so that a repository made inside another loosens nothing; empty where there is none. At
    most one byte more than the engine takes is read of each, so that a longer file is told as one. InvalidInput where a
    file is there and cannot be read: what it forbids must not be left out in silence.
    """
    folder, root, texts = os.path.abspath(cwd or os.curdir), "", list[str]()
    while True:
        path = os.path.join(folder, FILE_NAME)
        if not root and any(os.path.lexists(os.path.join(folder, name)) for name in (".git", FILE_NAME)):
            root = folder
        if os.path.lexists(path):
            try:
                with open(path, "rb") as file:
                    texts.append(file.read(MOST_BYTES + 1).decode("utf-8", "replace"))
            except OSError as error:
                raise InvalidInput(f"`{path}` cannot be read ({error.strerror}): mend it or take it away") from error
        parent = os.path.dirname(folder)
        if parent == folder:
            return root, "\n---\n".join(reversed(texts))
        folder = parent
