"""Loading: every file of `policies/` becomes one validated value, or nothing is loaded."""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cedarpy

import guardhouse
from guardhouse.bundle import Bundle
from guardhouse.errors import LawFault, LawProblem
from guardhouse.gates import approval, control, guardrails, identity, network, policy, profile
from guardhouse.gates.policy import cedar, cedar_places
from guardhouse.gates.policy.ruling import OVERRIDE
from guardhouse.gates.reading import Problems, nearest, read_yaml, text_of
from guardhouse.guardrails.overrides import LEVELS
from guardhouse.guardrails.paths import CLASSES
from guardhouse.model.call import SURFACES, Category
from guardhouse.model.canonical import digest, encode
from guardhouse.storage import private

MAX_BYTES = 10_000_000
MAX_FILES = 1_000
_LONGEST_NAME = 255
SHIPPED = "shipped@1"
_PLACES = {
    "cedar/": ".cedar",
    "native/": ".yaml",
    "network/": ".yaml",
    "guardrails/": ".yaml",
    "playbooks/": ".yaml",
    "cases/": ".yaml",
}
_ALONE = ("gateway.yaml", "profiles.yaml", "schema.cedarschema")
_JUDGING = ("schema.cedarschema", "profiles.yaml", "cedar/", "native/", "network/", "guardrails/")


@dataclass(frozen=True, slots=True)
class ActionDecl:
    """What the catalog says of an operation, for the schema to equal."""

    category: Category
    governs: bool = False


def shipped_directory() -> Path:
    """The law that travels with the package: inside a wheel, or beside the source."""
    package = Path(guardhouse.__file__).parent
    inside = package / "shipped" / "policies"
    return inside if inside.is_dir() else package.parent.parent / "policies"


def read_directory(path: Path) -> dict[str, bytes]:
    """The effective files of a directory: its own over those it includes. LawFault for what must not be read."""
    own = _files_under(path)
    value, lines = read_yaml("gateway.yaml", own.get("gateway.yaml", b""))
    include = value.get("include") if isinstance(value, dict) else None
    if include is None:
        return own
    if include != SHIPPED:
        remedy = f"write `include: {SHIPPED}`, or leave it out"
        raise LawFault([LawProblem("gateway.yaml", lines.at("include"), f"only `{SHIPPED}` can be included", remedy)])
    return _files_under(shipped_directory()) | own


def own_files(path: Path) -> dict[str, bytes]:
    """A directory's own files, without what it includes."""
    return _files_under(path)


def _files_under(path: Path) -> dict[str, bytes]:
    try:
        return _read_under(path.resolve())
    except PermissionError as error:
        message = f"`{error.filename}` cannot be read"
        raise LawFault([LawProblem(path.name, 0, message, private.refused(error))]) from error
    except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError: a loop of links, until Python 3.13
        message = f"the directory cannot be read ({type(error).__name__})"
        raise LawFault([LawProblem(path.name, 0, message, "look at its rights and links")]) from error


def _read_under(root: Path) -> dict[str, bytes]:
    if not root.is_dir():
        raise LawFault([LawProblem(root.name, 0, "there is no such directory", "name one with a `gateway.yaml`")])
    files: dict[str, bytes] = {}
    total = 0
    for entry in sorted(root.rglob("*")):
        name = entry.relative_to(root).as_posix()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        # Before anything is asked of the entry: a link that leads out may lead to a pipe or a device.
        if not entry.resolve().is_relative_to(root):
            raise LawFault([LawProblem(name, 0, "the link leads out of the directory", "copy the file in")])
        if not entry.is_file():
            continue
        total += entry.stat().st_size
        if total > MAX_BYTES or len(files) >= MAX_FILES:
            raise LawFault([LawProblem(name, 0, "the directory is too large", f"keep it under {MAX_BYTES} bytes")])
        files[name] = entry.read_bytes()
    return files


def load_directory(path: Path | str, actions: Mapping[str, ActionDecl]) -> Bundle:
    """Load a directory with what it includes; LawFault listing every problem."""
    return load_files(read_directory(Path(path)), actions)


def load_files(files: Mapping[str, bytes], actions: Mapping[str, ActionDecl]) -> Bundle:
    """Compile a whole bundle in this process; text from callers MUST go through `child.parse_untrusted` first."""
    return _load(files, actions)


def load_stored(files: Mapping[str, bytes]) -> Bundle:
    """Compile a bundle that was activated before, perhaps under another version of Guardhouse.

    It proved itself when it was activated, and MUST go on binding as it stands after an upgrade or a downgrade. So it is
    held neither against this version's operations nor, by its packs' examples, against this version's engine: its schema
    says which operations it knows, and any other is denied. LawFault where this version cannot read it at all.
    """
    return _load(files, None)


def _load(files: Mapping[str, bytes], actions: Mapping[str, ActionDecl] | None) -> Bundle:
    if sum(len(data) for data in files.values()) > MAX_BYTES or len(files) > MAX_FILES:
        message = f"the bundle is larger than {MAX_BYTES} bytes or {MAX_FILES} files"
        raise LawFault([LawProblem("policies", 0, message, "split it")])
    problems: list[LawProblem] = []
    made: dict[str, Any] = {}

    def part(name: str, maker: Any, *arguments: Any) -> None:
        try:
            made[name] = maker(*arguments)
        except LawFault as fault:
            problems.extend(fault.problems)
        except Exception as error:  # noqa: BLE001  # whatever a part raises, nothing is loaded and the reason is told
            problems.append(LawProblem(name, 0, f"this part cannot be read ({type(error).__name__})", "simplify it"))

    for name, data in files.items():
        part(name, _plain, name, data)
    if problems:
        raise LawFault(problems)
    part("settings", _settings, files)
    part("playbooks", _playbooks, files)
    for gate in (identity, control, profile, network, approval):
        part(gate.NAME, gate.parse, files)
    part("schema", _schema, files, actions)
    part("packs", _packs, files, actions is not None)
    settings = made.get("settings", {})
    engine = settings.get("engine", "cedar")
    profiles = made[profile.NAME].profiles if profile.NAME in made else {}
    ceilings = MappingProxyType({name: item.trust_ceiling for name, item in profiles.items()})
    groups = made["schema"] if "schema" in made else _groups(actions or {})
    met = _met(files, made, profiles) if actions is not None else None
    part(policy.NAME, policy.parse, files, engine, groups, ceilings, met)
    if actions is not None:
        problems.extend(_nothing_named(files, profiles, actions.keys() | set(Category)))
    if problems:
        raise LawFault(sorted(set(problems), key=lambda item: (item.file, item.line, item.message)))
    rules = {gate.NAME: made[gate.NAME] for gate in (identity, control, profile, policy, network, approval)}
    rules[guardrails.NAME] = guardrails.join(made["packs"], made[policy.NAME])
    judging = {name: digest(data) for name, data in files.items() if name.startswith(_JUDGING)}
    return Bundle(
        digest=digest(encode({name: digest(data) for name, data in files.items()})),
        law=digest(encode({"engine": engine, "files": judging})),
        engine=engine,
        rules=MappingProxyType(rules),
        packs=made["packs"],
        playbooks=MappingProxyType(made["playbooks"]),
        files=MappingProxyType(dict(files)),
        settings=MappingProxyType(settings),
    )


def _nothing_named(files: Mapping[str, bytes], profiles: Mapping[str, Any], words: Collection[str]) -> list[LawProblem]:
    """Words of profiles that are no operation or category, and so would never bind."""
    return [
        LawProblem(
            profile.FILE,
            _line_of(files, profile.FILE, "profiles", item.name),
            f"profile `{item.name}` names `{word}`, which is no operation or category",
            nearest(word, words),
        )
        for item in profiles.values()
        for word in sorted((item.allowed | item.blocked) - set(words))
    ]


def _plain(name: str, data: bytes) -> None:
    """Refuse a file in no known place, since nobody would read it, and YAML that is not plain."""
    if not name.isprintable() or len(name) > _LONGEST_NAME or not {"", ".", ".."}.isdisjoint(name.split("/")):
        shown = name.encode("ascii", "backslashreplace").decode()[:_LONGEST_NAME]
        raise LawFault([LawProblem(shown, 0, "this is no plain relative path", "rename the file")])
    text_of(name, data)
    folder = name.rpartition("/")[0] + "/"
    if name.endswith(".md"):
        return
    if name not in _ALONE and not name.endswith(_PLACES.get(folder, "\n")):
        places = ", ".join((*_ALONE, *(f"{place}*{ending}" for place, ending in _PLACES.items())))
        raise LawFault([LawProblem(name, 0, "nothing reads a file of this name here", f"use {places} or *.md")])
    if folder in ("guardrails/", "cases/"):
        read_yaml(name, data)


def _packs(files: Mapping[str, bytes], prove: bool) -> Any:
    # Looked up when called: deciding must not import what only loading needs.
    chosen = {name: data for name, data in files.items() if name.startswith("guardrails/")}
    return importlib.import_module("guardhouse.guardrails").load_packs(chosen, proven=not prove)


def _settings(files: Mapping[str, bytes]) -> dict[str, Any]:
    problems = Problems()
    value, lines = read_yaml("gateway.yaml", files.get("gateway.yaml", b""))
    given = dict(problems.keys(value, lines, (), ("engine", "include")))
    if given.setdefault("engine", "cedar") not in policy.ENGINES:
        problems.add(lines, ("engine",), f"the engine is one of {', '.join(policy.ENGINES)}")
    problems.stop()
    return given


def _playbooks(files: Mapping[str, bytes]) -> dict[str, Any]:
    problems = Problems()
    books: dict[str, Any] = {}
    for file in sorted(files):
        if file.startswith("playbooks/") and file.endswith(".yaml"):
            read = problems.read(file, files[file])
            if read is None:
                continue
            value, lines = read
            given = dict(problems.keys(value, lines, (), ("role", "title", "invariants", "guide")))
            if not isinstance(given.get("role"), str) or given["role"] in books:
                problems.add(lines, ("role",), "each playbook needs a `role` of its own")
                continue
            for key in ("title", "guide"):
                if not isinstance(given.get(key, ""), str):
                    problems.add(lines, (key,), "a text is needed here", "put it in quotes")
            if "invariants" in given:
                given["invariants"] = list(problems.words(given["invariants"], lines, ("invariants",)))
            books[given["role"]] = given
    problems.stop()
    return books


def _met(
    files: Mapping[str, bytes], made: Mapping[str, Any], profiles: Mapping[str, Any]
) -> dict[str, Collection[str]]:
    """Every word that a native condition can ever meet, where that is a closed set; what could not be read is left out."""
    met: dict[str, Collection[str]] = {"surfaces": SURFACES, "severities": LEVELS[1:], "path_classes": CLASSES}
    if profiles:
        met["profiles"] = frozenset(profiles)
    if "packs" in made:
        met["categories"] = frozenset(rule.category for rule in made["packs"].rules.values())
    schema = files.get(cedar.SCHEMA_FILE)
    if schema is not None and "schema" in made:
        met["types"] = cedar_places.declared("entity", text_of(cedar.SCHEMA_FILE, schema))
    return met


def _line_of(files: Mapping[str, bytes], file: str, *path: str) -> int:
    _value, lines = read_yaml(file, files[file])
    return lines.at(*path)


def _groups(actions: Mapping[str, ActionDecl]) -> dict[str, frozenset[str]]:
    groups = {
        name: frozenset({name, str(declared.category)} | ({"govern"} if declared.governs else set()))
        for name, declared in actions.items()
    }
    return groups | {OVERRIDE: frozenset({OVERRIDE})}


def _schema(files: Mapping[str, bytes], actions: Mapping[str, ActionDecl] | None) -> dict[str, frozenset[str]]:
    """Each action's own name and its groups. With `actions` the schema's MUST equal them, neither more nor less."""
    file = cedar.SCHEMA_FILE
    text = text_of(file, files.get(file, b""))
    cedar.scan(file, text)
    declared = schema_actions(text)
    if actions is None:
        return {name: parents | {name} for name, parents in declared.items()}
    wanted = _groups(actions)
    problems = [
        LawProblem(file, 0, f"the action `{name}` is not declared", "declare it in its groups")
        for name in sorted(wanted.keys() - declared.keys())
    ]
    problems += [
        LawProblem(file, 0, f"the action `{name}` is no operation", "remove it")
        for name in sorted(declared.keys() - wanted.keys())
    ]
    problems += [
        LawProblem(
            file,
            0,
            f"the action `{name}` must be in {', '.join(sorted(wanted[name] - {name})) or 'no group'}",
            "write exactly these groups behind `in`",
        )
        for name in sorted(wanted.keys() & declared.keys())
        if wanted[name] != declared[name] | {name}
    ]
    if problems:
        raise LawFault(problems)
    return wanted


def schema_actions(text: str) -> dict[str, frozenset[str]]:
    """Every action with `appliesTo` in a schema and the groups it is in, as written."""
    try:
        cedarpy.Schema.from_str(text)
    except ValueError as error:
        raise LawFault(
            [
                LawProblem(
                    cedar.SCHEMA_FILE, 0, cedar_places.first_line(error), "mend the schema, or take the shipped one"
                )
            ]
        ) from error
    found: dict[str, frozenset[str]] = {}
    code = "\n".join(line.partition("//")[0] for line in text.splitlines())
    for statement in code.split(";"):
        body = statement.strip()
        if not body.startswith("action ") or "appliesTo" not in body:
            continue
        head = body[len("action ") :].partition("appliesTo")[0]
        names, _, groups = head.partition(" in ")
        parents = frozenset(word.strip(' "\n[]') for word in groups.split(",") if word.strip(' "\n[]'))
        for name in names.split(","):
            found[json.loads(name) if name.strip().startswith('"') else name.strip()] = parents
    return found


def write_site_skeleton(path: Path) -> None:
    """Write a site directory that takes everything shipped; an existing file is left alone."""
    private.folder(path)
    gateway = path / "gateway.yaml"
    if not gateway.exists():
        private.written(gateway, f"include: {SHIPPED}\nengine: cedar\n".encode())
    for name in ("cedar", "native", "network", "guardrails", "playbooks", "cases"):
        private.folder(path / name)
