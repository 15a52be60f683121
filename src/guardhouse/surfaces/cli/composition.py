"""What the command line needs from the composition root, which stands above it and is handed down by `__main__`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from guardhouse.bundle import Bundle
    from guardhouse.gateway import Gateway
    from guardhouse.ledger.keys import Signer
    from guardhouse.settings import Settings
    from guardhouse.storage.store import Store
    from guardhouse.surfaces.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Founded:
    """What `init` made, or found. `operator_token` is empty when the workspace stood already.

    `workspace_id` is empty where it was to be founded only as the first, and others stand.
    """

    workspace_id: str
    slug: str
    person_id: str
    person_name: str
    operator_token: str
    policies: Path
    new: bool


class Opened(Protocol):
    """A gateway opened in this process."""

    @property
    def gateway(self) -> Gateway: ...

    @property
    def store(self) -> Store: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def signer(self) -> Signer: ...

    def start(self) -> None: ...

    def require_sound(self) -> None: ...

    def approval_state(self, workspace_id: str, approval_id: str) -> str: ...


class Composition(Protocol):
    """Opens, founds, migrates and serves. Each method imports what it needs, so that `--help` costs nothing."""

    def settings(self, **changes: Any) -> Settings: ...

    def open(self, settings: Settings) -> AbstractContextManager[Opened]: ...

    def migrate(self, settings: Settings, service_role: str = "") -> str: ...

    def found(self, settings: Settings, slug: str, person: str, *, further: bool = True) -> Founded: ...

    def serve(self, settings: Settings, announce: Callable[[Endpoint], None]) -> None: ...

    def actions(self) -> Mapping[str, Any]: ...

    def now(self) -> int: ...

    def load_bundle(self, directory: Path | None) -> Bundle: ...

    def input_schema(self, operation: str) -> Mapping[str, Any]: ...
