"""The Cedar engine. Cedar skips a policy that fails to evaluate, even a `forbid`; here any error is a deny."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import cedarpy

from guardhouse.errors import LawFault, LawProblem
from guardhouse.gates.policy.ruling import Answer, Entity, Ruling
from guardhouse.gates.reading import DEPTH, text_of

SCHEMA_FILE = "schema.cedarschema"
_ID = re.compile(r'@id\(\s*"((?:[^"\\]|\\.)*)"\s*\)')
_ANNOTATIONS = frozenset({"id", "effect", "advice", "why"})
_LONGEST_TEXT = 1_000_000
_LONGEST_RUN = 200
_TOKEN = re.compile(r'//[^\n]*|"(?:[^"\\]|\\.)*"?|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|\s+|.', re.DOTALL)


def scan(file: str, text: str) -> None:
    """LawFault for text that would break the parser's stack: deep brackets, or long runs of `!`, `-`, `.` or `if`."""
    if len(text) > _LONGEST_TEXT:
        raise LawFault([LawProblem(file, 0, f"longer than {_LONGEST_TEXT} characters", "split the file")])
    # `<` nests in a schema (`Set<Set<…>>`) and compares in a policy.
    opening, closing = ("([{<", ")]}>") if file == SCHEMA_FILE else ("([{", ")]}")
    depth = run = 0
    for found in _TOKEN.finditer(text):
        piece = found.group()
        if piece in opening:
            depth += 1
        elif piece in closing:
            depth -= 1
        elif piece in ("!", "-", ".", "if"):
            run += 1
        elif piece == ";":
            run = 0
        if depth > DEPTH or run > _LONGEST_RUN:
            line = text.count("\n", 0, found.start()) + 1
            raise LawFault([LawProblem(file, line, f"nested deeper than {DEPTH} levels", "split the policy")])
        # A stray closing bracket must not buy depth for what follows.
        depth = max(0, depth)


class Cedar:
    """One compiled policy set, its schema, what each annotation says, and the set without liftable forbids."""

    def __init__(self, policies: Any, permits: Any, schema: Any, annotations: Mapping[str, Mapping[str, str]]) -> None:
        self._policies = policies
        self._permits = permits
        self._schema = schema
        self._annotations = annotations

    def authorize(self, principal: Entity, action: str, resource: Entity, context: dict[str, Any]) -> Ruling:
        """Ask Cedar; deny on any evaluation error and on anything but a plain Allow."""
        given = [_json(principal)]
        if resource.known:
            given.append(_json(resource))
        request = {
            "principal": {"type": principal.type, "id": principal.id},
            "action": {"type": "Action", "id": action},
            "resource": {"type": resource.type, "id": resource.id},
            "context": context,
        }
        try:
            entities = cedarpy.Entities.from_json_str(json.dumps(given), self._schema)
            result = cedarpy.is_authorized(request, self._policies, entities, schema=self._schema)
            reasons = tuple(sorted(result.diagnostics.reasons))
            errors = tuple(sorted(str(error) for error in result.diagnostics.errors))
            if errors or result.decision is cedarpy.Decision.NoDecision:
                return Ruling(Answer.DENY, reasons, errors or ("no decision",))
            if result.decision is cedarpy.Decision.Allow:
                return Ruling(Answer.ALLOW, reasons)
            notes = [self._annotations[reason] for reason in reasons]
            advice = tuple(note["advice"] for note in notes if "advice" in note)
            lifted = bool(reasons) and all(note.get("effect") == "approval" for note in notes)
            if lifted:
                again = cedarpy.is_authorized(request, self._permits, entities, schema=self._schema)
                lifted = again.decision is cedarpy.Decision.Allow and not again.diagnostics.errors
            return Ruling(Answer.HOLD if lifted else Answer.DENY, reasons, advice=advice)
        except Exception as error:  # noqa: BLE001  # whatever the engine raises is a no
            return Ruling(Answer.DENY, errors=(type(error).__name__,))


def _json(entity: Entity) -> dict[str, Any]:
    return {
        "uid": {"type": entity.type, "id": entity.id},
        "attrs": entity.attributes,
        "parents": [{"type": kind, "id": name} for kind, name in entity.parents],
    }


def compile_policies(files: Mapping[str, bytes], *, typed: bool = True) -> Cedar:
    """Compile `cedar/*.cedar` against `schema.cedarschema`; LawFault listing every problem.

    `typed=False` only reads the policies, without holding them against the schema; it never decides.

    The text MUST be trusted or have been parsed in a child process before: the scan stops the known
    killers of the parser, not unknown ones.
    """
    problems: list[LawProblem] = []
    static: dict[str, Any] = {}
    notes: dict[str, Mapping[str, str]] = {}
    schema_text, schema = "", None
    try:
        schema_text = text_of(SCHEMA_FILE, files.get(SCHEMA_FILE, b""))
        scan(SCHEMA_FILE, schema_text)
        schema = cedarpy.Schema.from_str(schema_text)
    except LawFault as fault:
        problems.extend(fault.problems)
    except ValueError as error:
        problems.append(LawProblem(SCHEMA_FILE, 0, _first_line(error)))
    for file in sorted(files):
        if not (file.startswith("cedar/") and file.endswith(".cedar")):
            continue
        try:
            text = text_of(file, files[file])
            scan(file, text)
            read = json.loads(cedarpy.policies_to_json_str(text))
        except LawFault as fault:
            problems.extend(fault.problems)
            continue
        except ValueError as error:
            problems.append(LawProblem(file, 0, _first_line(error)))
            continue
        problems.extend(_take(file, text, read, static, notes))
        if typed and schema is not None:
            names = {key: item.get("annotations", {}).get("id", "") for key, item in read["staticPolicies"].items()}
            for wrong in cedarpy.validate_policies(text, schema_text).errors:
                name = names.get(wrong.policy_id, "") or ""
                problems.append(LawProblem(file, _line(text, name), wrong.error))
    if problems:
        raise LawFault(problems)
    permits = {name: item for name, item in static.items() if notes[name].get("effect") != "approval"}
    return Cedar(_set(static), _set(permits), schema, notes)


def _take(
    file: str, text: str, read: Mapping[str, Any], static: dict[str, Any], notes: dict[str, Mapping[str, str]]
) -> list[LawProblem]:
    """Put one file's policies under their own ids; what is wrong with them."""
    problems: list[LawProblem] = []
    if read.get("templates"):
        problems.append(LawProblem(file, 0, "templates are not taken", "write the principal or resource out"))
    for item in read["staticPolicies"].values():
        said = {key: value or "" for key, value in item.get("annotations", {}).items()}
        name = said.get("id", "")
        line = _line(text, name)
        if not name:
            problems.append(LawProblem(file, line, "a policy has no `@id`", 'write `@id("…")` above it'))
        elif name in static:
            problems.append(LawProblem(file, line, f"the id `{name}` is used twice", "give each its own"))
        problems.extend(
            LawProblem(file, line, f"`@{key}` is not known", "use @id @why @effect @advice")
            for key in sorted(said.keys() - _ANNOTATIONS)
        )
        if "effect" in said and (said["effect"] != "approval" or item["effect"] != "forbid"):
            problems.append(LawProblem(file, line, '`@effect` is only `"approval"`, on a `forbid`'))
        static[name], notes[name] = item, said
    return problems


def _set(static: Mapping[str, Any]) -> Any:
    return cedarpy.PolicySet.from_json_str(json.dumps({"staticPolicies": static, "templates": {}, "templateLinks": []}))


def _line(text: str, name: str) -> int:
    return next((text.count("\n", 0, found.start()) + 1 for found in _ID.finditer(text) if found.group(1) == name), 0)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["not valid"])[0][:300]
