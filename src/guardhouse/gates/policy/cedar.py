"""The Cedar engine. Cedar skips a policy that fails to evaluate, even a `forbid`; here any error is a deny."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cedarpy

from guardhouse.errors import LawFault, LawProblem
from guardhouse.gates.policy import cedar_places
from guardhouse.gates.policy.ruling import RESOURCE_TYPES, Answer, Entity, Ruling
from guardhouse.gates.reading import DEPTH, LONGEST_ID, text_of
from guardhouse.model.canonical import encode, texts

SCHEMA_FILE = "schema.cedarschema"
_ANNOTATIONS = frozenset({"id", "effect", "advice", "why"})
_LONGEST_TEXT = 1_000_000
_LONGEST_RUN = 200


def scan(file: str, text: str) -> None:
    """LawFault for text that would break the parser's stack: deep brackets, or long runs of `!`, `-`, `.` or `if`."""
    if len(text) > _LONGEST_TEXT:
        raise LawFault([LawProblem(file, 0, f"longer than {_LONGEST_TEXT} characters", "split the file")])
    # `<` nests in a schema (`Set<Set<…>>`) and compares in a policy.
    opening, closing = ("([{<", ")]}>") if file == SCHEMA_FILE else ("([{", ")]}")
    depth = run = 0
    for found in cedar_places.TOKEN.finditer(text):
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


_KEPT_ENTITIES = 1_024
_NAMED_ONLY = frozenset(RESOURCE_TYPES) - {"Agent"}
"""Types that no principal, no group and no guardrail rule has."""


class Cedar:
    """All policies by id, their schema, and what each annotation says.

    Each question is put only to the policies whose scope can apply to its action and to the types of its
    principal and resource. This changes no answer: a policy whose scope does not match is neither
    satisfied nor evaluated, so it can neither decide nor fail.
    """

    def __init__(
        self,
        policies: Mapping[str, Any],
        schema: Any,
        annotations: Mapping[str, Mapping[str, str]],
        groups: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.policies = policies
        self._schema = schema
        self._annotations = annotations
        self._groups = groups
        self._slices: dict[tuple[str, str, str], tuple[Any, Any]] = {}
        self._sets: dict[frozenset[str], Any] = {}
        self._entities: dict[bytes, Any] = {}
        self._words = frozenset(texts(list(policies.values())))

    def _slice(self, principal: str, action: str, resource: str) -> tuple[Any, Any]:
        """The policies that can apply, and those of them that no approval lifts."""
        key = (principal, action, resource)
        found = self._slices.get(key)
        if found is None:
            names = None if self._groups is None else self._groups.get(action)
            chosen = frozenset(
                name
                for name, item in self.policies.items()
                if names is None
                or (
                    _acts(item["action"], names)
                    and _is(item["principal"], principal)
                    and _is(item["resource"], resource)
                )
            )
            firm = frozenset(name for name in chosen if self._annotations[name].get("effect") != "approval")
            found = self._slices[key] = (self._compiled(chosen), self._compiled(firm))
        return found

    def _compiled(self, names: frozenset[str]) -> Any:
        if names not in self._sets:
            self._sets[names] = _set({name: self.policies[name] for name in sorted(names)})
        return self._sets[names]

    def _parsed(self, given: list[dict[str, Any]]) -> Any:
        """Entities by their JSON, kept: parsing them with the schema costs more than evaluating the policies."""
        key = encode(given)
        entities = self._entities.get(key)
        if entities is None:
            entities = cedarpy.Entities.from_json_str(key.decode(), self._schema)
            if len(self._entities) >= _KEPT_ENTITIES:
                self._entities.clear()
            self._entities[key] = entities
        return entities

    def looks_further(self, principal: str, action: str) -> bool:
        """Whether a permit names one resource, or asks anything about it or the context."""
        names = frozenset({action}) if self._groups is None else self._groups.get(action, frozenset({action}))
        return any(
            item["effect"] == "permit"
            and _acts(item["action"], names)
            and _is(item["principal"], principal)
            and (item["resource"].get("op") not in ("All", "is") or "in" in item["resource"] or _asks(item))
            for item in self.policies.values()
        )

    def tells_apart(self, resource: Entity) -> bool:
        """Whether the resource's id stands anywhere in the policies, or its type may be a principal's too.

        Cedar tells two entities of one type and the same attributes and parents apart only by comparing them with one
        that a policy writes out, or with the principal.
        """
        return resource.id in self._words or resource.type not in _NAMED_ONLY

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
            policies, firm = self._slice(principal.type, action, resource.type)
            entities = self._parsed(given)
            result = cedarpy.is_authorized(request, policies, entities, schema=self._schema)
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
                again = cedarpy.is_authorized(request, firm, entities, schema=self._schema)
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


def _acts(scope: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether an action scope can match; a form not known here is taken as one that can."""
    if scope.get("op") not in ("==", "in"):
        return True
    entities = scope["entities"] if "entities" in scope else [scope["entity"]]
    return any(entity.get("id") in names for entity in entities)


def _asks(policy: Mapping[str, Any]) -> bool:
    """Whether a condition speaks of the resource or the context; a text that only looks so errs towards yes."""
    conditions = json.dumps(policy.get("conditions", []))
    return any(f'{{"Var": "{name}"}}' in conditions for name in ("resource", "context"))


def _is(scope: Mapping[str, Any], kind: str) -> bool:
    """Whether a principal or resource scope can match an entity of this type."""
    if scope.get("op") == "is":
        return bool(scope["entity_type"] == kind)
    if scope.get("op") == "==":
        return bool(scope["entity"].get("type") == kind)
    return True


def compile_policies(
    files: Mapping[str, bytes], groups: Mapping[str, frozenset[str]] | None = None, *, typed: bool = True
) -> Cedar:
    """Compile `cedar/*.cedar` against `schema.cedarschema`; LawFault listing every problem.

    `groups`: each action's own name and its groups, so that a question is put only to policies that can apply.

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
        problems.append(
            LawProblem(SCHEMA_FILE, 0, cedar_places.first_line(error), "mend the schema, or take the shipped one")
        )
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
            problems.append(cedar_places.syntax(file, text, error))
            continue
        problems.extend(_take(file, text, read, static, notes))
        if typed and schema is not None:
            problems.extend(cedar_places.misfits(file, text, schema_text))
    if problems:
        raise LawFault(problems)
    try:
        _set(static)
    except ValueError as error:
        raise LawFault([LawProblem("cedar", 0, cedar_places.first_line(error), "mend the policies")]) from error
    return Cedar(static, schema, notes, groups)


def _take(
    file: str, text: str, read: Mapping[str, Any], static: dict[str, Any], notes: dict[str, Mapping[str, str]]
) -> list[LawProblem]:
    """Put one file's policies under their own ids; what is wrong with them."""
    problems: list[LawProblem] = []
    if read.get("templates"):
        problems.append(LawProblem(file, 0, "templates are not taken", "write the principal or resource out"))
    lines = cedar_places.lines(text)
    for number, item in read["staticPolicies"].items():
        said = {key: value or "" for key, value in item.get("annotations", {}).items()}
        name = said.get("id", "")
        line = lines.get(number, 0)
        if not name:
            problems.append(LawProblem(file, line, "a policy has no `@id`", 'write `@id("…")` above it'))
        elif len(name) > LONGEST_ID or not name.isprintable():
            message = f"an `@id` has at most {LONGEST_ID} printable characters"
            problems.append(LawProblem(file, line, message, "write a shorter or plainer one"))
        elif name in static:
            problems.append(LawProblem(file, line, f"the id `{name}` is used twice", "give each its own"))
        problems.extend(
            LawProblem(file, line, f"`@{key}` is not known", "use @id @why @effect @advice")
            for key in sorted(said.keys() - _ANNOTATIONS)
        )
        if "effect" in said and (said["effect"] != "approval" or item["effect"] != "forbid"):
            message = '`@effect` is only `"approval"`, on a `forbid`'
            problems.append(LawProblem(file, line, message, "write that, or take the annotation away"))
        static[name], notes[name] = item, said
    return problems


def _set(static: Mapping[str, Any]) -> Any:
    return cedarpy.PolicySet.from_json_str(json.dumps({"staticPolicies": static, "templates": {}, "templateLinks": []}))
