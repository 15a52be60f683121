"""What changes from one bundle to another: by file, and by rule wherever it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cedarpy

from guardhouse.bundle import Bundle
from guardhouse.gates.reading import read_yaml
from guardhouse.model.canonical import digest


@dataclass(frozen=True, slots=True)
class Difference:
    """Files, and rules as `kind:id`, sorted; `law` says whether judging changes.

    The kinds are `cedar`, `native`, `network`, `profile`, `guardrail`, `playbook` and `case`.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    law: bool
    rules_added: tuple[str, ...]
    rules_removed: tuple[str, ...]
    rules_changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def difference(old: Bundle, new: Bundle) -> Difference:
    """Compare two loaded bundles. A rule that only moved, or whose comments changed, is the same rule."""
    had, has = rule_digests(old), rule_digests(new)
    return Difference(
        *_three(old.files, new.files),
        old.law != new.law,
        *_three(had, has),
    )


def _three(was: Any, now: Any) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return (
        tuple(sorted(now.keys() - was.keys())),
        tuple(sorted(was.keys() - now.keys())),
        tuple(sorted(name for name in was.keys() & now.keys() if was[name] != now[name])),
    )


def rule_digests(bundle: Bundle) -> dict[str, str]:
    """Every rule of a loaded bundle as `kind:id`, with a digest of what it says."""
    return {name: digest(json.dumps(said, sort_keys=True, default=str).encode()) for name, said in _rules(bundle)}


def _rules(bundle: Bundle) -> Iterator[tuple[str, Any]]:
    for file in sorted(bundle.files):
        folder, _, name = file.rpartition("/")
        if folder == "cedar" and name.endswith(".cedar"):
            read = json.loads(cedarpy.policies_to_json_str(bundle.files[file].decode()))
            for item in read["staticPolicies"].values():
                yield f"cedar:{item['annotations']['id']}", item
        elif file == "profiles.yaml":
            value, _ = read_yaml(file, bundle.files[file])
            yield from ((f"profile:{role}", said) for role, said in value["profiles"].items())
        elif folder in _KINDS and name.endswith(".yaml"):
            value, _ = read_yaml(file, bundle.files[file])
            yield from _listed(_KINDS[folder], value if isinstance(value, dict) else {})


_KINDS = {"native": "native", "network": "network", "guardrails": "guardrail", "playbooks": "playbook", "cases": "case"}


def _listed(kind: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if kind == "playbook":
        yield f"playbook:{value.get('role')}", value
        return
    # What stands beside the list belongs to each rule of it: a pack's `protects`, the list's effect.
    beside = {key: item for key, item in value.items() if not isinstance(item, list)}
    for key, items in value.items():
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                yield f"{kind}:{item.get('id', item.get('name'))}", [key, beside, item]
