"""The house's walls: who may import whom, who may read the clock, and what must never stand in the repository."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "guardhouse"
MODULES = sorted(SOURCE.rglob("*.py"))

LONGEST = 500
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc", "core"}

# A monotonic clock measures how long something took and never says when; it is free for all.
CLOCKS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "clock_gettime", "clock_gettime_ns"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "uuid": {"uuid1", "uuid6", "uuid7"},
}

# Spelled in parts, so that this file does not hold what it looks for.
HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "crates" + ".io",
    "proxy.golang" + ".org",
]
PLACES = [
    r"/(?:home|Users)/(?!\w*[<{$])[a-z][\w.-]*/",
    "/" + r"work/(?:main|shared)\b",
    "/" + r"root/",
    r"/opt/(?:py" + "pi|wheels)",
]
SAMPLES = {"tests", "policies"}  # commands to be judged name places such as a home folder, which is what they are for


def tracked() -> list[Path]:
    """Every file that belongs to the repository; or the source tree's own, where it is no checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode != 0:
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def reads_of_the_clock(text: str) -> Iterator[tuple[int, str]]:
    """Every place where a module asks what time it is: by attribute, or by a name imported for that."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
            if node.attr in CLOCKS.get(owner, ()):
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in CLOCKS:
            for name in node.names:
                if name.name in CLOCKS[node.module]:
                    yield node.lineno, f"from {node.module} import {name.name}"


def test_imports_keep_to_the_contracts() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


LOADED_BY_NAME = {"httptools", "psycopg", "uvloop"}
"""Distributions that are needed and never imported by us: uvicorn and SQLAlchemy load them by the names we give."""


def imported(module: Path) -> set[str]:
    """The top names of what a module imports anywhere in it, ours and the standard library's left out."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return {name for name in names if name != "guardhouse" and name not in sys.stdlib_module_names}


def _distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_what_is_declared() -> None:
    """An import that is only there through another package's needs goes when that package no longer needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {_distribution(re.split(r"[\[<>=;! ]", line)[0]) for line in project["dependencies"]}
    modules = [*MODULES, *sorted((ROOT / "migrations").rglob("*.py"))]
    names = {name for module in modules for name in imported(module)}
    assert {"sqlalchemy", "yaml", "mcp"} <= names
    brought = importlib.metadata.packages_distributions()
    used = {name: {_distribution(one) for one in brought.get(name, [])} for name in names}
    assert not {name: by for name, by in used.items() if not by & declared}, (
        "imported, and not declared as a dependency"
    )
    needless = declared - {one for by in used.values() for one in by} - LOADED_BY_NAME
    assert not needless, "declared as a dependency of running it, and imported nowhere in src"


def test_only_the_composition_root_reads_the_wall_clock() -> None:
    found = [
        f"{module.relative_to(ROOT)}:{line}: {what}"
        for module in MODULES
        if module != SOURCE / "app.py"
        for line, what in reads_of_the_clock(module.read_text(encoding="utf-8"))
    ]
    assert not found, "time is handed in; only app.py may ask for it:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import time\nat = time.time()",
        "import time\nclock = time.time_ns",
        "from time import time_ns",
        "import datetime\nat = datetime.datetime.now()",
        "from datetime import datetime, UTC\nat = datetime.now(UTC)",
        "import uuid\nname = uuid.uuid1()",
    ],
)
def test_the_search_for_clocks_finds_one(text: str) -> None:
    assert list(reads_of_the_clock(text))


def test_a_stopwatch_is_no_clock() -> None:
    assert not list(reads_of_the_clock("import time\nbegun = time.monotonic()\ntook = time.perf_counter() - begun"))


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = {part for module in MODULES for part in module.relative_to(SOURCE).with_suffix("").parts}
    assert not named & VAGUE


def test_no_module_grew_past_reading() -> None:
    long = {str(module.relative_to(ROOT)): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}
    assert not {name: lines for name, lines in long.items() if lines > LONGEST}, (
        f"split what is longer than {LONGEST} lines"
    )


def test_no_file_names_a_package_registry_or_a_place_on_somebodys_machine() -> None:
    hosts = re.compile("|".join(re.escape(host) for host in HOSTS))
    places = re.compile("|".join(PLACES))
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(ROOT)
        samples = name.parts[0] in SAMPLES or name.suffix == ".txt"
        for number, line in enumerate(text.splitlines(), 1):
            if hosts.search(line) or (not samples and places.search(line)):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert not found, "\n".join(found)
