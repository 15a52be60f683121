"""Prepare: everything about a call that needs no transaction, done before the train and without any lock.

Parse and validate the body, canonicalise the resource, take the keyed digests, examine the declared
texts, match the named destinations, gather evidence. What cannot be understood becomes a `Fault` on
the call, never an exception: a known principal's call leaves its entry all the same.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from pydantic import ValidationError

from guardhouse.bundle import Bundle
from guardhouse.catalog import Ask, Catalog, Home, Operation
from guardhouse.errors import FieldFault, GuardhouseError, InvalidInput
from guardhouse.gates import guardrails, network
from guardhouse.gateway.crowding import MOST_VALUES, crowded
from guardhouse.gateway.disk import Disk
from guardhouse.gateway.leading import leads
from guardhouse.gateway.surroundings import placed
from guardhouse.guardrails import tighten
from guardhouse.guardrails.normal import normal_form
from guardhouse.guardrails.surroundings import NOWHERE, Surroundings
from guardhouse.guardrails.text import UNSEEN, Examined, Seen
from guardhouse.model import canonical
from guardhouse.model.call import Call, Category, Fault, RawCall, Resource
from guardhouse.model.facts import DomainFinding, Finding, Principal
from guardhouse.model.instants import Micros

_IDENTITY_CLAIMS = frozenset({"agent_id", "session_id", "sender", "sender_id", "from", "principal"})
"""Body fields that say who calls. They are never believed: they are compared with the token's principal.

A claim of trust, roles or grants is an unknown field of every operation, and refused as one.
"""

_OURS = re.compile(r"req_[0-9a-f]{26}\Z")
"""A request's id as the doors make it: new each time, and no secret."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_DEPTH = 64
_MOST_FAULTS = 20
_CROWDED = f"the body holds more than {MOST_VALUES} values"
_KEY = re.compile(r"[\x21-\x7e]{1,200}\Z")
"""An idempotency key: what every door can carry unchanged, and `get_outcome` can be asked for."""

_INT64 = range(-(2**63), 2**63)


_FAULTS = {
    "validation": "the body does not fit the operation",
    "unknown_operation": "no operation has this name",
    "unsupported_media_type": "the body is not sent as JSON",
    "invalid_bundle": "the bundle has faults, so nothing of it was loaded",
    "payload_too_large": "the body is larger than this gateway takes",
}
"""What the ledger says of a fault: words of ours only, since a caller's may be secret or personal."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where a token leads: a hint for routing and canonicalising. The train judges the token itself."""

    workspace_id: str
    key: bytes
    principal_kind: str
    principal_id: str
    session_id: str
    repository: str


@dataclass(slots=True)
class Prepared:
    """A call ready for the train. `packs` is the digest under which `findings` were made, `seen` what they were made of.

    `question` is the keyed digest of what its texts would do and where, taken when anything was found; `open_ended`
    says that more than they say decides it; `links` are names in them that lead elsewhere on this machine.
    `caller` and `at` are whom and when the train carried it for.
    `fields` and `explanation` say to the caller what is wrong with the body; they may quote it and are
    never recorded.
    """

    raw: RawCall
    token_hash: str
    located: Located
    operation: Operation | None
    ask: Ask | None
    call: Call
    claims: tuple[str, ...] = ()
    payload: bytes | None = None
    texts: tuple[Examined, ...] = ()
    findings: tuple[Finding, ...] = ()
    seen: Seen = UNSEEN
    question: str = ""
    open_ended: bool = False
    links: tuple[tuple[str, str], ...] = ()
    packs: str = ""
    destinations: tuple[tuple[str, str], ...] = ()
    domains: tuple[DomainFinding, ...] = ()
    law: str = ""
    evidence: Any = None
    fields: tuple[FieldFault, ...] = ()
    explanation: str = ""
    request_id: str = ""
    size: int = field(default=0)
    caller: Principal | None = None
    at: Micros = 0


def prepare(
    raw: RawCall,
    token_hash: str,
    located: Located,
    catalog: Catalog,
    bundle: Bundle,
    decision_id: str,
    *,
    gather: bool = True,
    around: Surroundings = NOWHERE,
) -> Prepared:
    """Turn what a door handed in into a judged form. Never raises for anything the caller wrote.

    `around` is where this deployment keeps what no agent may touch. `gather` false leaves out the operation's costly evidence, for a caller whom no gate will let through.
    """
    operation = catalog.find(raw.operation)
    home = Home(located.workspace_id, located.principal_id, located.repository or "default")
    read = _Read()
    fault: InvalidInput | None = None
    if operation is None:
        fault = InvalidInput(_unknown(raw.operation, catalog), code="unknown_operation")
    else:
        try:
            read = _read(raw, operation, home, bundle, person=located.principal_kind == "person", gather=gather)
        except InvalidInput as error:
            fault = error
        except GuardhouseError as error:
            fault = InvalidInput(error.message)
    ask, plain = read.ask, read.plain
    resource = read.resource or Resource("Workspace", located.workspace_id)

    name = operation.name if operation else raw.operation if _NAME.match(raw.operation) else "unnamed"
    safe_resource = Resource(resource.type, bundle.packs.redact(resource.id), bundle.packs.redact(resource.repository))
    digested = _encode([name, resource.to_json(), plain]) if plain is not None else raw.body
    call = Call(
        id=decision_id,
        operation=name if operation else bundle.packs.redact(name),
        category=operation.category if operation else Category.READ,
        resource=safe_resource,
        surface=raw.surface,
        address=raw.address,
        size=len(raw.body),
        digest=canonical.keyed_digest(located.key, "call", digested),
        approval_id=raw.approval_id if raw.approval_id and _ID.match(raw.approval_id) else "",
        idempotency=idempotency_digest(located.key, located.session_id, raw.idempotency_key)
        if raw.idempotency_key
        else "",
        fault=Fault(fault.code, _FAULTS.get(fault.code, _FAULTS["validation"])) if fault else None,
        governs=bool(operation and operation.people_only),
    )
    prepared = Prepared(
        raw=raw,
        token_hash=token_hash,
        located=located,
        operation=operation,
        ask=ask,
        call=call,
        claims=read.claims,
        evidence=read.evidence,
        fields=fault.fields if fault else (),
        explanation=fault.message if fault else "",
        request_id=raw.request_id if _OURS.match(raw.request_id) else bundle.packs.redact(raw.request_id),
        size=len(raw.body),
    )
    if operation is not None and ask is not None and plain is not None:
        visible = {key: value for key, value in plain.items() if key not in operation.secrets}
        redacted = bundle.packs.redact(visible)
        prepared.payload = _encode(redacted)
        if redacted != visible and operation.writes and operation.gather is None:
            _forget_secrets(prepared, operation, plain | redacted)
        texts = operation.texts(ask) if operation.texts else ()
        if located.principal_kind == "person":
            # Why a person stops something is told to people: its secrets are taken out, and nothing in it may stop the person.
            texts = tuple(text for text in texts if text.field != "reason")
        disk = Disk()
        prepared.texts = placed(texts, around, disk)
        prepared.destinations = operation.destinations(ask) if operation.destinations else ()
        examine(prepared, bundle)
        if prepared.findings:
            prepared.links = leads(prepared.texts, around, disk)
            _question(prepared)
    return prepared


def _forget_secrets(prepared: Prepared, operation: Operation, redacted: dict[str, Any]) -> None:
    """Let a handler that writes see the redacted body only, so that no table ever holds a caught secret."""
    try:
        prepared.ask = operation.ask.model_validate_json(_encode(redacted))
    except ValidationError as error:
        cut = _shortened(redacted, error)
        if cut is not None:
            _forget_secrets(prepared, operation, cut)
            return
        prepared.call = replace(prepared.call, fault=Fault("validation", _FAULTS["validation"]))
        prepared.ask, prepared.explanation = None, "the body holds a secret where none may stand"


def _unknown(name: str, catalog: Catalog) -> str:
    """That there is no such operation, and the one most like it; the name itself may be anything, so it is not repeated."""
    near = difflib.get_close_matches(name[:64], [declared.name for declared in catalog], 1, 0.7)
    return (
        f"no such operation: did you mean `{near[0]}`?" if near else "no such operation; `/openapi.json` lists them all"
    )


def _shortened(body: dict[str, Any], error: ValidationError) -> dict[str, Any] | None:
    """The body with each text cut that outgrew its field because a secret's mark is longer than the secret; None for any other fault."""
    found = error.errors(include_url=False, include_input=False)
    if any(item["type"] != "string_too_long" or len(item["loc"]) != 1 for item in found):
        return None
    return body | {str(item["loc"][0]): body[str(item["loc"][0])][: item["ctx"]["max_length"]] for item in found}


@dataclass(slots=True)
class _Read:
    """What could be made of a body; all or nothing."""

    ask: Ask | None = None
    plain: dict[str, Any] | None = None
    resource: Resource | None = None
    claims: tuple[str, ...] = ()
    evidence: Any = None


def _read(raw: RawCall, operation: Operation, home: Home, bundle: Bundle, *, person: bool, gather: bool) -> _Read:
    """Understand the body, or raise InvalidInput saying what to mend. Nothing is gathered for whom no gate will let through."""
    if raw.idempotency_key and not _KEY.match(raw.idempotency_key):
        raise InvalidInput("an idempotency key is 1 to 200 printable ASCII characters without spaces")
    if raw.approval_id and not _ID.match(raw.approval_id):
        raise InvalidInput("the approval presented is no approval id: give it as it was told, `apr_` and what follows")
    if raw.oversized:
        raise InvalidInput(
            "the body is larger than this gateway takes: send less, or split it over several calls "
            "(GUARDHOUSE_MAX_BODY_BYTES is the operator's limit)",
            code="payload_too_large",
        )
    if raw.media_type:
        raise InvalidInput(
            "the body must be JSON and say so: send it with `Content-Type: application/json`",
            code="unsupported_media_type",
        )
    body, claims = _without_claims(_parse(raw.body), operation)
    ask = _validate(operation, body, bundle)
    plain = ask.model_dump(mode="json")
    _encode(plain)
    evidence = None
    if operation.gather is not None and (person or not operation.people_only):
        if not gather:
            raise InvalidInput("nothing was made ready for a caller who may do nothing; send the call again if you may")
        evidence = operation.gather(ask, bundle)
    return _Read(ask, plain, operation.resource(ask, home), claims, evidence)


_ID = re.compile(r"[a-z]{2,4}_[0-9a-z]{1,60}\Z")


def idempotency_digest(key: bytes, session_id: str, idempotency_key: str) -> str:
    """The digest under which a session's idempotency key is kept; `get_outcome` takes it the same way."""
    return canonical.keyed_digest(key, "idempotency", f"{session_id}\n{idempotency_key}".encode())


def examine(prepared: Prepared, bundle: Bundle) -> None:
    """Make the findings of a call under a bundle, unless they already are that bundle's."""
    if prepared.packs != bundle.packs.digest:
        prepared.seen = bundle.packs.look(prepared.texts) if prepared.texts else UNSEEN
        prepared.findings = prepared.seen.findings
        operation = prepared.operation
        if operation is not None and operation.tightens is not None and prepared.ask is not None:
            prepared.findings = tighten.tightened(
                prepared.findings, operation.tightens(prepared.ask), bundle.packs.rules
            )
        if prepared.packs:
            _question(prepared)
        prepared.packs = bundle.packs.digest
    if prepared.law != bundle.law:
        rules = bundle.rules[network.NAME]
        prepared.domains = tuple(network.match(rules, name, host) for name, host in prepared.destinations)
        prepared.law = bundle.law


def _question(prepared: Prepared) -> None:
    """Take the digest that refusals are counted by and grants are bound to. Nothing found, nothing to ask about.

    The field's name does not count, nor which of the examining operations asks: a person allows what would be done.
    """
    if not prepared.findings:
        prepared.question, prepared.open_ended = "", False
        return
    name = prepared.call.operation
    forms = [normal_form(text) for text in prepared.texts]
    if name in guardrails.EXAMINES:
        # A server's tool is another place: what one runs elsewhere, no leave for here allows.
        name = prepared.call.resource.id if prepared.call.resource.id.startswith("mcp:") else ""
    asked = [name, [form for form, _ in forms], prepared.links]
    prepared.question = canonical.keyed_digest(prepared.located.key, "question", _encode(asked))
    prepared.open_ended = any(open_ended for _, open_ended in forms)


def _encode(value: Any) -> bytes:
    try:
        return canonical.encode(value)
    except TypeError as error:
        raise InvalidInput("the body holds text or a number that JSON cannot carry safely") from error


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) < 21 else None
    if value is None or value not in _INT64:
        raise InvalidInput("the body holds an integer beyond 64 bit")
    return value


def _constant(word: str) -> Any:
    raise InvalidInput(f"`{word}` is not JSON")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidInput("the body names a field twice; name each once")
    return value


def _parse(body: bytes) -> dict[str, Any]:
    """The JSON object in the body. An empty body stands for an empty object."""
    if crowded(body):
        raise InvalidInput(_CROWDED)
    plain = quickly(body)
    return carefully(body) if plain is None else plain


_MOST_PLAIN = 256


def quickly(body: bytes) -> dict[str, Any] | None:
    """The object of a body so plain that it breaks no rule of `carefully`; None for any other, faulty ones included.

    Without a backslash a quote only begins or ends a string. So, when the object holds half as many strings as the body
    has quotes, none was lost to a field named twice; and NUL and surrogates, which need escapes, cannot be in it.
    """
    if b"\\" in body:
        return None
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict or len(value) > _MOST_PLAIN:
        return None
    strings = len(value)
    for item in value.values():
        kind = type(item)
        if kind is str:
            strings += 1
        elif kind is int:
            if item not in _INT64:
                return None
        elif kind is list:
            if len(item) > _MOST_PLAIN or any(type(part) is not str for part in item):
                return None
            strings += len(item)
        elif not (kind is bool or item is None):
            return None
    return value if 2 * strings == body.count(b'"') else None


def carefully(body: bytes) -> dict[str, Any]:
    """The JSON object in the body; InvalidInput says what is wrong with any other."""
    if not body.strip():
        return {}
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_pairs, parse_int=_integer, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise InvalidInput("the body is not UTF-8") from error
    except RecursionError as error:
        raise InvalidInput(f"the body nests deeper than {_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise InvalidInput(f"the body is not JSON: line {error.lineno}, column {error.colno}") from error
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    _refuse_hostile(value)
    return value


def _refuse_hostile(value: Any) -> None:
    """Refuse NUL, lone surrogates and deep nesting anywhere, with a worklist instead of recursion."""
    work: list[tuple[Any, int]] = [(value, 1)]
    seen = 0
    while work:
        item, depth = work.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise InvalidInput(_CROWDED)
        if isinstance(item, str):
            if "\x00" in item:
                raise InvalidInput("the body holds a NUL character")
            if not item.isascii() and any("\ud800" <= character <= "\udfff" for character in item):
                raise InvalidInput("the body holds a lone surrogate, which is not text")
        elif isinstance(item, (dict, list)):
            if depth > _DEPTH:
                raise InvalidInput(f"the body nests deeper than {_DEPTH} levels")
            if isinstance(item, dict):
                work.extend((key, depth) for key in item)
                work.extend((part, depth + 1) for part in item.values())
            else:
                work.extend((part, depth + 1) for part in item)


def _without_claims(body: dict[str, Any], operation: Operation) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Take claims of identity out of the body, to be compared; other claims about the caller are refused by the model."""
    undeclared = (_IDENTITY_CLAIMS & body.keys()) - operation.ask.model_fields.keys()
    claims = [str(body[name]) for name in undeclared]
    if not claims:
        return body, ()
    kept = {
        key: value for key, value in body.items() if key not in _IDENTITY_CLAIMS or key in operation.ask.model_fields
    }
    return kept, tuple(claims)


def _validate(operation: Operation, body: Mapping[str, Any], bundle: Bundle) -> Ask:
    """The body as the operation's own model. What is wrong is told without any secret that stands in a field's name."""
    try:
        return operation.ask.model_validate_json(canonical.encode(body))
    except TypeError as error:
        raise InvalidInput("the body holds text that is not Unicode") from error
    except ValidationError as error:
        faults = tuple(
            FieldFault(
                str(bundle.packs.redact(".".join(str(part) for part in item["loc"])[:200])) or "body",
                str(bundle.packs.redact(item["msg"].lower().removeprefix("value error, "))),
            )
            for item in error.errors(include_url=False, include_input=False, include_context=False)[:_MOST_FAULTS]
        )
        raise InvalidInput(f"the body does not fit `{operation.name}`", faults) from error
