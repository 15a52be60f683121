"""Arguments: `key=value` and `key:=json` become a body, typed by the operation's input schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from guardhouse.errors import InvalidInput

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def body(arguments: Sequence[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The body that the arguments spell; InvalidInput names the argument and what would be right.

    A field that the schema does not know is sent as a string, so that the gateway, which records the
    call, is the one to refuse it.
    """
    made: dict[str, Any] = {}
    for argument in arguments:
        name, mark, text = argument.partition("=")
        if not mark or not name.strip(":"):
            raise InvalidInput(f"`{argument}` is not `key=value`; for numbers and lists you may write `key:=json`")
        raw = name.endswith(":")
        name = name.removesuffix(":")
        if name in made:
            raise InvalidInput(f"`{name}` is given twice")
        made[name] = _json(name, text) if raw else _typed(name, text, _field(schema, name))
    return made


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"`{name}:=` needs JSON; for text write `{name}=`") from error


def _field(schema: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The alternatives that a field's schema allows, references followed."""
    return _alternatives(schema, schema.get("properties", {}).get(name, {}))


def _alternatives(root: Mapping[str, Any], part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in part:
        found: Any = root
        for key in part["$ref"].removeprefix("#/").split("/"):
            found = found.get(key, {})
        return _alternatives(root, found)
    if "anyOf" in part:
        return [one for choice in part["anyOf"] for one in _alternatives(root, choice)]
    return [part]


def _typed(name: str, text: str, alternatives: Sequence[Mapping[str, Any]]) -> Any:
    kinds = [str(one.get("type", "string")) for one in alternatives]
    if "string" in kinds:
        return text
    if "boolean" in kinds:
        if text.lower() not in _WORDS:
            raise InvalidInput(f"`{name}` is yes or no, not `{text}`")
        return _WORDS[text.lower()]
    if "integer" in kinds or "number" in kinds:
        try:
            return int(text) if "integer" in kinds else float(text)
        except ValueError as error:
            raise InvalidInput(f"`{name}` is a number, not `{text}`") from error
    if "array" in kinds:
        if text.startswith("["):
            return _json(name, text)
        items = next(one for one in alternatives if one.get("type") == "array").get("items", {})
        return [_typed(name, item, [items]) for item in text.split(",")] if text else []
    return _json(name, text)
