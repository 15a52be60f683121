"""Tools: an operation as a model is told of it, with its schema and its docstring."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mcp_types import Tool, ToolAnnotations

from guardhouse.catalog import Catalog, Operation
from guardhouse.model.call import Category
from guardhouse.surfaces.cli import meanings

APPROVAL = "approval_id"
"""An argument of the door's own: a model cannot set `_meta`, and an examination asks for the id of its grant."""

_DEEPEST = 12
_FEW_WORDS = 5
_UNTOLD = ("title", "$defs", "pattern", "minLength", "maxLength", "minItems", "maxItems", "additionalProperties")
"""What a schema says that a model rarely needs: the gateway holds it all the same, and names the field at fault."""


class Toolbox:
    """Every tool of a catalog, each made once: a schema costs more to make than to send."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._made: dict[str, Tool] = {}

    def tool(self, name: str) -> Tool | None:
        """The tool of this name, or None."""
        made = self._made.get(name)
        declared = None if made is not None else self.catalog.find(name)
        if declared is not None:
            made = self._made[name] = tool(declared)
        return made


def tool(declared: Operation) -> Tool:
    """An operation as a tool."""
    reads = declared.category is Category.READ
    return Tool(
        name=declared.name,
        description=prose(declared.description),
        input_schema=input_schema(declared),
        annotations=ToolAnnotations(
            read_only_hint=reads,
            destructive_hint=None if reads else declared.category is Category.ADMIN,
            open_world_hint=False,
        ),
    )


def prose(text: str) -> str:
    """A docstring without its line breaks; paragraphs stay apart."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def takes_approval(declared: Operation | None) -> bool:
    """Whether this tool takes the id of a grant as an argument."""
    return declared is not None and declared.examines and declared.texts is not None


def input_schema(declared: Operation) -> dict[str, Any]:
    """The input as JSON Schema without references or titles, which cost a model's context and tell it nothing."""
    given = declared.ask.model_json_schema(mode="validation")
    schema: dict[str, Any] = _plain(given, given.get("$defs", {}), 0)
    schema.pop("description", None)
    for name, field in schema.get("properties", {}).items():
        if not field.get("description") and not _says_itself(field, meanings.FIELDS.get(name, "")):
            field["description"] = meanings.FIELDS[name]
        said_of_one = field.get("items", {}).get("description")
        if said_of_one and said_of_one in field.get("description", ""):
            del field["items"]["description"]
    if takes_approval(declared):
        words = "the grant to spend, once a person has granted the `approval_id` of an earlier answer"
        schema.setdefault("properties", {})[APPROVAL] = {"type": "string", "description": words}
    return {"type": "object", "properties": {}} | schema


def _says_itself(field: Mapping[str, Any], words: str) -> bool:
    """Whether these words tell no more than the values that a field takes."""
    left = words
    for value in field.get("enum", ()):
        if f"`{value}`" not in left:
            return not words
        left = left.replace(f"`{value}`", "")
    return not words or ("enum" in field and len(re.findall(r"\w+", left)) <= _FEW_WORDS)


def _plain(given: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    """One schema, with references put in place, `or null` left out (leaving the field out says it) and no titles."""
    if isinstance(given, list):
        return [_plain(item, definitions, depth) for item in given]
    if not isinstance(given, Mapping):
        return given
    if "$ref" in given and depth < _DEEPEST:
        found = definitions[given["$ref"].rpartition("/")[2]]
        return _plain(
            {**found, **{key: value for key, value in given.items() if key != "$ref"}}, definitions, depth + 1
        )
    options = given.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        outer = {key: value for key, value in given.items() if key not in ("anyOf", "default")}
        return _plain(rest[0] | outer if len(rest) == 1 else {"anyOf": rest, **outer}, definitions, depth)
    made: dict[str, Any] = {}
    for key, value in given.items():
        if key in _UNTOLD or (key == "default" and value in ("", None, [], {})):
            continue
        if key == "properties":
            made[key] = {name: _plain(field, definitions, depth) for name, field in value.items()}
        else:
            made[key] = value if key in ("default", "enum", "const", "required") else _plain(value, definitions, depth)
    return made
