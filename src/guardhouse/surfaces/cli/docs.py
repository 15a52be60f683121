"""Pages made from the source: `docs/operations.md` whole, and the marked tables in other pages.

`python -m guardhouse.surfaces.cli.docs FOLDER` renews them; a test fails when one is stale.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ValidationError

from guardhouse.bundle import Bundle
from guardhouse.bundle.load import ActionDecl, load_directory, shipped_directory
from guardhouse.catalog import Catalog, Home, Operation
from guardhouse.errors import InvalidInput
from guardhouse.gates import policy
from guardhouse.model.call import Call, Resource
from guardhouse.model.canonical import encode
from guardhouse.model.decision import Effect
from guardhouse.model.facts import Facts, Principal, WorkspaceFacts
from guardhouse.operations import CATALOG
from guardhouse.settings import Settings
from guardhouse.surfaces import problem
from guardhouse.surfaces.cli import exits, main, meanings

_BEGIN, _END = "<!-- made by `make docs`: {} -->", "<!-- end: {} -->"
_CANDIDATES = (
    "src/app.py", "res:deploy/staging", "agt_1", "per_1", "tok_1", "apr_1", "dec_1", "tsk_1", "mem_1",
    "app", "sha256:" + "0" * 64,
)  # fmt: skip
_HOME = Home("wsp_1", "agt_1")
_PEOPLE = ("operator", "security", "auditor")


def operations_page(catalog: Catalog = CATALOG) -> str:
    """The whole of `docs/operations.md`."""
    bundle = load_directory(shipped_directory(), {o.name: ActionDecl(o.category, o.people_only) for o in catalog})
    groups = {
        name: list(found) for name, found in itertools.groupby(catalog, lambda o: o.handler.__module__.split(".")[-1])
    }
    lines = [
        "# Operations",
        "",
        "Made from the source by `make docs`; edits here are lost.",
        "",
        "An operation has one name everywhere: `POST /v1/acquire_lock`, `guardhouse call acquire_lock key=…`,",
        '`Action::"acquire_lock"` in a policy, `operation` in the ledger. An alias is resolved before any gate,',
        "so a policy on the name binds the alias too. Unknown input fields are refused; every answer also has",
        "`decision_id`, the ledger's entry. Instants are RFC 3339 in UTC.",
        "",
        "**Who may** is what the shipped policies answer; your own may say otherwise, and profiles, control and",
        "guardrails may still refuse. What the words mean stands in [concepts](concepts.md), how calls travel in",
        "[the HTTP door](http.md).",
        "",
        "| operation | category | what it does |",
        "|---|---|---|",
        *(f"| [`{o.name}`](#{o.name}) | {o.category} | {_cell(o.summary)} |" for o in catalog),
        "",
    ]
    for name, found in groups.items():
        lines += [f"## {name.replace('_', ' ').capitalize()}", ""]
        for declared in found:
            lines += _operation(declared, bundle)
    lines += _codes()
    return "\n".join(lines).rstrip() + "\n"


def refusals(declared: Operation) -> tuple[str, ...]:
    """The codes with which the work itself may refuse a call that every gate let through, as the docstring lists them."""
    listed = re.findall(r"Refusals?: (.*?)(?=\n\n|\Z)", declared.description, re.DOTALL)
    words = (word for part in listed for word in re.findall(r"`([a-z_]+)`", part))
    return tuple(dict.fromkeys(word for word in words if word in problem.TABLE))


def _operation(declared: Operation, bundle: Bundle) -> list[str]:
    touched = resources(declared)
    kinds = " or ".join(f"`{kind}`" for kind in dict.fromkeys(resource.type for resource in touched))
    facts = [("category", f"`{declared.category}`"), ("who may", _who(declared, touched, bundle)), ("touches", kinds)]
    if declared.aliases:
        facts.append(("aliases", ", ".join(f"`{alias}`" for alias in declared.aliases)))
    if declared.examines:
        facts.append(("examines", "what it is given is judged and never carried out"))
    if declared.fetch is not None:
        facts.append(("reads", "after its entry is durable, and of the ledger no more than stood before that entry"))
    if declared.secret_outputs:
        facts.append(("shown once", ", ".join(f"`{name}`" for name in declared.secret_outputs)))
    told = refusals(declared)
    if told:
        facts.append(("may refuse with", ", ".join(f"[`{code}`](#codes)" for code in told)))
    lines = [f"### {declared.name}", "", declared.description, "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in facts]
    lines += ["", *_fields("Input", declared.ask), *_fields("Answer", declared.answer)]
    return lines


def _fields(title: str, model: type[BaseModel]) -> list[str]:
    rows = list(rows_of(model))
    if not rows:
        return [f"{title}: nothing.", ""]
    asked = title == "Input"
    head = "| input | type | default | meaning |" if asked else "| answer | type | meaning |"
    lines = [head, "|---|---|---|---|" if asked else "|---|---|---|"]
    for name, kind, default, words in rows:
        cells = [f"`{name}`", kind, default, words] if asked else [f"`{name}`", kind, words]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return [*lines, ""]


def rows_of(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Every field with its type, its default (`required` where it has none) and its words; nested ones dotted."""
    schema = model.model_json_schema(mode="validation")
    yield from _rows(schema, schema.get("$defs", {}), "", ())


def _rows(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str]]:
    required = set(schema.get("required", ()))
    for name, given in schema.get("properties", {}).items():
        value, reference = _resolved(given, definitions)
        words = given.get("description") or value.get("description") or meanings.FIELDS.get(name, "")
        if reference and not given.get("description"):
            words = meanings.FIELDS.get(name, "") or words
        default = "required" if name in required else _default(given)
        yield f"{prefix}{name}", _type(given, definitions), default, " ".join(words.split())
        inner, suffix = value, "."
        if value.get("type") == "array":
            inner, reference = _resolved(value.get("items", {}), definitions)
            suffix = "[]."
        if "properties" in inner and reference not in above:
            yield from _rows(inner, definitions, f"{prefix}{name}{suffix}", (*above, reference))


def _resolved(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What a property really is, past a reference and past `or null`; and the reference's name."""
    for option in given.get("anyOf", ()):
        if option.get("type") != "null":
            return _resolved(option, definitions)
    if "$ref" in given:
        name = given["$ref"].rpartition("/")[2]
        return definitions[name], name
    return given, ""


def _type(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "anyOf" in given:
        return " or ".join(_type(option, definitions) for option in given["anyOf"])
    value, _ = _resolved(given, definitions)
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return " ".join(f"`{word}`" for word in value["enum"])
    kind = str(value.get("type", "any"))
    if kind == "array":
        if "prefixItems" in value:
            return "list of " + ", ".join(_type(item, definitions) for item in value["prefixItems"])
        return f"list of {_type(value.get('items', {}), definitions)}"
    if kind in ("integer", "number"):
        low, high = value.get("minimum"), value.get("maximum")
        span = f" {low} to {high}" if None not in (low, high) else f" from {low}" if low is not None else ""
        return kind + span
    return f"{kind}, at most {value['maxLength']}" if "maxLength" in value and kind == "string" else kind


def _default(given: Mapping[str, Any]) -> str:
    value = given.get("default", ...)
    if value in ("", None, ..., [], {}):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def resources(declared: Operation) -> tuple[Resource, ...]:
    """What an operation touches for a few inputs made up to fit it."""
    found = []
    required = [name for name, field in declared.ask.model_fields.items() if field.is_required()]
    for names in (required, [name for name in declared.ask.model_fields if name not in required]):
        for given in _CANDIDATES:
            base = {name: _sample(declared.ask, name, "") for name in required}
            try:
                ask = declared.ask.model_validate_json(
                    encode(base | {name: _sample(declared.ask, name, given) for name in names})
                )
                found.append(declared.resource(ask, _HOME))
            except (ValidationError, InvalidInput):
                continue
    if not found:  # an input whose parts depend on each other; what it touches then hangs on none of them
        found.append(declared.resource(declared.ask.model_construct(), _HOME))
    return tuple(found)


def _sample(model: type[BaseModel], name: str, wanted: str) -> Any:
    schema = model.model_json_schema()
    given, _ = _resolved(schema["properties"][name], schema.get("$defs", {}))
    if "const" in given:
        return given["const"]
    if "enum" in given:
        return given["enum"][0]
    match given.get("type"):
        case "integer" | "number":
            return max(given.get("minimum", 1), 1)
        case "boolean":
            return True
        case "array":
            inner, _ = _resolved(given.get("items", {}), schema.get("$defs", {}))
            one = inner["enum"][0] if "enum" in inner else _text(inner, wanted)
            return [one]
        case "object":
            return {}
    return _text(given, wanted)


def _text(given: Mapping[str, Any], wanted: str) -> str:
    pattern = given.get("pattern", "")
    fitting = [one for one in _CANDIDATES if not pattern or re.search(pattern, one)]
    return wanted if wanted in fitting else next(iter(fitting), "")


def _who(declared: Operation, touched: Sequence[Resource], bundle: Bundle) -> str:
    """Who the shipped policies let ask, tried for every trust and role on every kind of thing it touches."""
    may: list[str] = []
    trusts = [trust for trust in range(5) if _permitted(declared, touched, bundle, _agent(trust))]
    if trusts and not declared.people_only:
        may.append(f"agents of trust {min(trusts)} or more")
    people = {role: Principal("person", "per_1", roles=(role,)) for role in _PEOPLE}
    roles = [role for role, who in people.items() if _permitted(declared, touched, bundle, who)]
    if len(roles) == len(_PEOPLE):
        may.append("all people")
    elif roles:
        may.append(" and ".join(f"`{role}`" for role in roles) + " people")
    return "; ".join(may) or "nobody"


def _agent(trust: int) -> Principal:
    return Principal("agent", "agt_1", role="developer", trust=trust, effective_trust=trust)


def _permitted(declared: Operation, touched: Sequence[Resource], bundle: Bundle, who: Principal) -> bool:
    facts = Facts(1, who, WorkspaceFacts("wsp_1"))
    return any(
        policy.check(
            Call("dec_1", declared.name, declared.category, resource, "http", "", 1, "", governs=declared.people_only),
            facts,
            bundle.rules[policy.NAME],
            (),
        ).effect
        is Effect.ALLOW
        for resource in touched
    )


def _codes() -> list[str]:
    lines = [
        "## Codes",
        "",
        "What a call may be answered with. The HTTP status is that of `POST /v1/…`, the exit status that of",
        "`guardhouse`. What is retryable carries `retry_after_seconds`.",
        "",
        "| code | HTTP | exit | retry | meaning |",
        "|---|---|---|---|---|",
    ]
    for code, row in sorted(problem.TABLE.items(), key=lambda item: (item[1].status, item[0])):
        if code in meanings.RESERVED:
            continue
        retry = "yes" if row.retryable else ""
        lines.append(f"| `{code}` | {row.status} | {row.exit} | {retry} | {_cell(meanings.CODES.get(code, ''))} |")
    reserved = ", ".join(f"`{code}`" for code in sorted(meanings.RESERVED & problem.TABLE.keys()))
    return [*lines, "", f"Reserved, answered by nothing in this version: {reserved}."]


def settings_table() -> str:
    """Every setting: variable, default, what it is."""
    lines = ["| variable | default | what it is |", "|---|---|---|"]
    for name, setting in Settings.model_fields.items():
        value = setting.default_factory if setting.is_required() is False and setting.default_factory else None
        shown = "your data directory, `guardhouse` in it" if value else _setting(setting.default)
        lines.append(f"| `GUARDHOUSE_{name.upper()}` | {shown} | {_cell(setting.description or '')} |")
    return "\n".join(lines)


def _setting(value: Any) -> str:
    if value in ("", None):
        return "none"
    if isinstance(value, bool):
        return f"`{int(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def exits_table() -> str:
    """Every exit status of the command."""
    rows = [f"| {status} | {meaning} |" for status, meaning in sorted(exits.MEANINGS.items())]
    return "\n".join(["| exit status | meaning |", "|---|---|", *rows])


def commands_table() -> str:
    """Every command with its arguments and options."""
    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| `{usage}` | {_cell(words)} |" for usage, words in commands()]
    return "\n".join(lines)


def commands() -> list[tuple[str, str]]:
    """Every command line there is, in the order of `--help`: its usage and its first sentence."""
    app = typer.Typer()
    for name in main.COMMANDS:
        importlib.import_module(f"guardhouse.surfaces.cli.{name}").register(app)
    return list(_commands(typer.main.get_command(app), ("guardhouse",)))


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    inner = getattr(command, "commands", None)
    if inner:
        for name, one in inner.items():
            yield from _commands(one, (*path, name))
    if not inner or getattr(command, "invoke_without_command", False):
        parts = [*path]
        for parameter in command.params:
            if parameter.name == "help" or getattr(parameter, "hidden", False):
                continue
            parts.append(_parameter(parameter))
        yield " ".join(parts), inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")


def _parameter(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = str(parameter.metavar or parameter.name).strip("[]").upper() + ("…" if parameter.nargs == -1 else "")
        return shown if parameter.required else f"[{shown}]"
    name = max(parameter.opts, key=len)
    value = "" if parameter.is_flag else f" {parameter.metavar or str(parameter.name).upper()}"
    return f"{name}{value}" if parameter.required else f"[{name}{value}]"


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


PARTS = {"settings": settings_table, "commands": commands_table, "exits": exits_table}
"""The tables that stand between marks in pages that people write."""


def renewed(text: str) -> str:
    """A page with every marked table made anew. ValueError for a mark that names no table or has no end."""
    for name in re.findall(re.escape(_BEGIN).replace(r"\{\}", "([a-z]+)"), text):
        begin, end = _BEGIN.format(name), _END.format(name)
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found or name not in PARTS:
            raise ValueError(f"the mark `{name}` has no end or names no table")
        text = f"{before}{begin}\n{PARTS[name]()}\n{end}{after}"
    return text


def pages(folder: Path) -> dict[Path, str]:
    """What every page that is made, or holds made tables, should say."""
    made = {folder / "operations.md": operations_page()}
    for page in sorted(folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if page not in made and "<!-- made by `make docs`" in text:
            made[page] = renewed(text)
    return made


def renew(arguments: Sequence[str]) -> int:
    """Write every page that is stale; name each."""
    for page, text in pages(Path(arguments[0])).items():
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
            sys.stdout.write(f"renewed {page}\n")
    return exits.OK


if __name__ == "__main__":
    sys.exit(renew(sys.argv[1:]))
