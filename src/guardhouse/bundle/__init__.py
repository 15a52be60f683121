"""Law: `policies/` as one validated, content-addressed value.

`Bundle` is immutable. `digest` addresses all of it; `law` only what judges (schema, policies,
profiles, network, guardrails), so that an edited playbook does not make a granted approval stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardhouse.guardrails.text import Packs


@dataclass(frozen=True, slots=True)
class Bundle:
    """One version of the law.

    `rules` holds what each gate's `parse` made, by gate name; `packs` the loaded guardrail packs;
    `playbooks` the invariants and the guide per role; `files` the source, by path, as loaded;
    `engine` is `cedar`, `native` or `both`; `settings` the rest of `gateway.yaml`.
    """

    digest: str
    law: str
    engine: str
    rules: Mapping[str, Any]
    packs: Packs
    playbooks: Mapping[str, Any]
    files: Mapping[str, bytes]
    settings: Mapping[str, Any]
