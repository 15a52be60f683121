"""`guardhouse` and `python -m guardhouse`: hands the composition root down to the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardhouse.surfaces.cli.composition import Founded

if TYPE_CHECKING:
    from guardhouse.app import Guardhouse
    from guardhouse.bundle import Bundle
    from guardhouse.settings import Settings
    from guardhouse.surfaces.endpoint import Endpoint


class _Composition:
    """The composition root behind imports that happen only when a command needs them."""

    def settings(self, **changes: Any) -> Settings:
        from guardhouse.app import read_settings

        return read_settings(**changes)

    def open(self, settings: Settings) -> AbstractContextManager[Guardhouse]:
        from guardhouse.app import Guardhouse

        return Guardhouse(settings)

    def migrate(self, settings: Settings, service_role: str = "") -> str:
        from guardhouse.app import migrate

        return migrate(settings, service_role)

    def found(self, settings: Settings, slug: str, person: str, *, further: bool = True) -> Founded:
        from guardhouse.app import found

        return found(settings, slug, person, further=further)

    def serve(self, settings: Settings, announce: Callable[[Endpoint], None]) -> None:
        from guardhouse.app import serve

        serve(settings, announce)

    def actions(self) -> Mapping[str, Any]:
        from guardhouse.app import actions

        return actions()

    def now(self) -> int:
        from guardhouse.app import wall_clock

        return wall_clock()

    def load_bundle(self, directory: Path | None) -> Bundle:
        from guardhouse.app import actions
        from guardhouse.bundle import load

        return load.load_directory(directory or load.shipped_directory(), actions())

    def input_schema(self, operation: str) -> Mapping[str, Any]:
        from guardhouse.operations import CATALOG

        declared = CATALOG.find(operation)
        return declared.ask.model_json_schema() if declared is not None else {}


def main() -> None:
    """Run the command line and exit with its status. A hook is answered before anything heavy is loaded."""
    if sys.argv[1:2] == ["hook"] and len(sys.argv) > 3 and "--help" not in sys.argv and "-h" not in sys.argv:
        from guardhouse.surfaces.hooks import shim

        sys.exit(shim.main(sys.argv[2:]))
    from guardhouse.surfaces.cli import quick

    status = quick.run(_Composition(), sys.argv[1:])
    if status is None:
        from guardhouse.surfaces.cli.main import main as run

        status = run(_Composition())
    sys.exit(status)


if __name__ == "__main__":
    main()
