"""The OpenAPI 3.1 document, made from the catalog: one typed route an operation."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from guardhouse import __version__
from guardhouse.catalog import Catalog, Operation

_REF = "#/components/schemas/"
_REFUSALS = {
    "202": "held: a person must approve it first",
    "401": "no known principal, or its token is over",
    "403": "refused by a gate",
    "404": "no such thing, or no such operation",
    "405": "not this method",
    "408": "the body did not arrive in time",
    "409": "refused as things stand; `retryable` says whether waiting helps",
    "413": "the body is too large",
    "415": "the body is not JSON",
    "422": "the body does not fit the operation",
    "429": "over quota; wait for `Retry-After`",
    "500": "the operation failed inside; nothing of it was kept",
    "503": "not performed, or its outcome is not known yet",
}

_TEXT = {"type": "string"}
_EXTRAS: dict[str, Any] = {
    "rule_ids": {"type": "array", "items": _TEXT, "description": "the rules that refused"},
    "advice": {"type": "array", "items": _TEXT, "description": "what their authors want the agent to read"},
    "hits": {
        "type": "array",
        "description": "`guardrail_blocked`: which rule in which field, from where to where",
        "items": {
            "type": "object",
            "required": ["rule_id", "field", "start", "end"],
            "properties": {"rule_id": _TEXT, "field": _TEXT, "start": {"type": "integer"}, "end": {"type": "integer"}},
        },
    },
    "state": _TEXT | {"description": "an order that binds: `paused`, `suspended` or `stopped`"},
    "subject": _TEXT
    | {
        "description": "the id of whom that order, or trust 0, is about: the agent, one that it acts for, the workspace"
    },
    "subject_alias": _TEXT | {"description": "that agent's handle; empty: it is the workspace"},
    "by": _TEXT | {"description": "the id of who gave the order that binds"},
    "by_alias": _TEXT | {"description": "their handle or name"},
    "reason": _TEXT | {"description": "why, in the words of who gave the order or holds the lock"},
    "until": _TEXT | {"description": "when the order ends by itself; empty: when a person lifts it"},
    "domain": _TEXT
    | {"description": "`network_denied`: the first host that the lists do not let it reach; empty: it is none"},
    "rule": _TEXT | {"description": "the rule that names that host; empty: none does"},
    "domains": {
        "type": "array",
        "description": "`network_denied`: every such destination",
        "items": {
            "type": "object",
            "required": ["field", "domain", "rule", "because"],
            "properties": {"field": _TEXT, "domain": _TEXT, "rule": _TEXT, "because": _TEXT},
        },
    },
    "needed": {"type": "object", "description": 'what the caller lacks, such as `{"trust": 3}`'},
    "bucket": _TEXT | {"description": "`quota_exhausted`, `rate_limited`: what is used up"},
}
"""What stands beside some codes; which is told in docs/http.md."""

_PROBLEM = {
    "type": "object",
    "required": ["error", "detail"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message", "request_id", "decision_id", "fields", "retryable"],
            "properties": {
                "code": {"type": "string", "description": "stable, for programs"},
                "status": {"type": "integer"},
                "message": {"type": "string", "description": "for people and models"},
                "request_id": {"type": "string"},
                "decision_id": {"type": "string", "description": "the ledger's entry; empty when there is none"},
                "fields": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["field", "problem"],
                        "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
                    },
                },
                "retryable": {"type": "boolean"},
                "retry_after_seconds": {"type": "integer", "minimum": 1},
                "approval_id": {"type": "string"},
                **_EXTRAS,
            },
        },
        "detail": {"type": "string"},
    },
}


def document(catalog: Catalog) -> dict[str, Any]:
    """The whole document; the same catalog gives the same bytes."""
    operations = sorted(catalog, key=lambda declared: declared.name)
    asks = {declared.ask: None for declared in operations}
    answers = {declared.answer: None for declared in operations}
    names, definitions = models_json_schema(
        [*((ask, "validation") for ask in asks), *((answer, "serialization") for answer in answers)],
        ref_template=_REF + "{model}",
    )
    schemas: dict[str, Any] = dict(definitions.get("$defs", {}))
    schemas["Problem"] = _PROBLEM
    paths: dict[str, Any] = {}
    for declared in operations:
        answer = names[(declared.answer, "serialization")]["$ref"].removeprefix(_REF)
        schemas[f"{answer}Decided"] = _decided(schemas[answer], declared)
        paths[f"/v1/{declared.name}"] = {"post": _route(declared, names[(declared.ask, "validation")], answer)}
        if declared.name == _READ_WITH_GET:
            paths[f"/v1/{declared.name}"] |= {"get": _conditional(paths[f"/v1/{declared.name}"]["post"])}
    paths |= {path: {"get": page} for path, page in _PAGES.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Guardhouse",
            "version": __version__,
            "summary": "Every coordination call of an agent fleet: decided, performed and recorded",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _decided(answer: dict[str, Any], declared: Operation) -> dict[str, Any]:
    """An answer as it leaves: with `decision_id`, and without what a repeat never shows again being required."""
    own = answer.get("properties", {}) | {
        "decision_id": {"type": "string", "description": "the ledger's entry of this call"}
    }
    required = [name for name in answer.get("required", []) if name not in declared.secret_outputs]
    return answer | {"properties": own, "required": sorted({*required, "decision_id"})}


def _route(declared: Operation, ask: dict[str, Any], answer: str) -> dict[str, Any]:
    problem = {"application/json": {"schema": {"$ref": _REF + "Problem"}}}
    answers: dict[str, Any] = {
        "200": {
            "description": "performed",
            "headers": {
                "Guardhouse-Decision": {"schema": {"type": "string"}},
                "Guardhouse-Request": {"schema": {"type": "string"}},
            },
            "content": {"application/json": {"schema": {"$ref": f"{_REF}{answer}Decided"}}},
        }
    }
    answers |= {status: {"description": text, "content": problem} for status, text in _REFUSALS.items()}
    return {
        "operationId": declared.name,
        "summary": declared.summary,
        "description": declared.description,
        "tags": [str(declared.category)],
        "security": [{"token": []}],
        "parameters": [
            _header("Idempotency-Key", "the same key, session and call within 24 h answers with the first outcome"),
            _header("Guardhouse-Approval", "the id of a grant to spend on this call"),
            _header("X-Request-Id", "your name for this request, `[A-Za-z0-9_-]{1,64}`"),
        ],
        "requestBody": {"required": False, "content": {"application/json": {"schema": ask}}},
        "responses": answers,
    }


_READ_WITH_GET = "get_playbook"
_ETAG = {"ETag": {"description": "what the text is known by", "schema": {"type": "string"}}}


def _conditional(post: dict[str, Any]) -> dict[str, Any]:
    """The same operation read with GET, where `If-None-Match` means what it does for any page."""
    done = post["responses"]["200"]
    done["headers"] |= _ETAG
    unchanged = {"description": "the text is the one that `If-None-Match` names", "headers": done["headers"]}
    named = _header("If-None-Match", "the `ETag` of an earlier answer: while it is the same the answer is 304")
    kept = {key: value for key, value in post.items() if key not in ("operationId", "requestBody", "parameters")}
    return kept | {
        "operationId": f"{post['operationId']}_if_changed",
        "parameters": [named, post["parameters"][-1]],
        "responses": {"200": done, "304": unchanged} | post["responses"],
    }


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}


_HEALTH = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"const": "ok"},
        "instance": {"type": "string", "description": "this process, until it ends"},
        "proof": {
            "type": "string",
            "description": "the answer to `?challenge=`, which only this home's gateway can give",
        },
    },
}
_READINESS = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["ready", "not_ready"]},
        "gateway": {"type": "string", "description": "`ok`, or what is wrong; decides"},
        "database": {"type": "string", "description": "`ok`, or what is wrong; decides"},
        "migrations": {"type": "string", "description": "`ok`, or the revision that it is at; decides"},
        "ledger": {"enum": ["protected", "unprotected"]},
        "law": {"type": "string", "description": "`ok`, or why this version cannot read the law in force; decides"},
        "queued": {"type": "integer", "minimum": 0, "description": "calls that wait for a train"},
        "checkpoint_lag": {
            "type": "integer",
            "minimum": 0,
            "description": "entries that no checkpoint covers yet",
        },
        **{
            name: {"type": "string", "description": "what the database really does for durability, as it says itself"}
            for name in (
                "journal_mode",
                "synchronous",
                "fullfsync",
                "checkpoint_fullfsync",
                "synchronous_commit",
                "fsync",
            )
        },
    },
    "additionalProperties": False,
}


def _page(name: str, summary: str, kind: str, *statuses: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    schema = schema or ({"type": "object"} if kind == "application/json" else {"type": "string"})
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "tags": ["service"],
        "responses": {status: {"description": summary, "content": {kind: {"schema": schema}}} for status in statuses}
        | {
            "405": {
                "description": "not this method",
                "content": {"application/json": {"schema": {"$ref": _REF + "Problem"}}},
            }
        },
    }


_PAGES = {
    "/healthz": _page(
        "healthz", "Whether the process lives, and which instance it is", "application/json", "200", schema=_HEALTH
    ),
    "/readyz": _page("readyz", "Whether it can decide and record", "application/json", "200", "503", schema=_READINESS),
    "/metrics": _page("metrics", "Numbers for Prometheus", "text/plain", "200"),
    "/openapi.json": _page("openapi", "This document", "application/json", "200"),
}
