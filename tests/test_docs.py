"""The pages say what is so: nothing undocumented, no dead link, no stale table, no snippet that prints something else.

`GUARDHOUSE_RENEW_GOLDEN=1 pytest tests/test_docs.py` renews what the quickstart's commands print; `make docs` the rest.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guardhouse.gates import profile
from guardhouse.operations import CATALOG
from guardhouse.settings import Settings
from guardhouse.surfaces import problem
from guardhouse.surfaces.cli import docs as generator
from guardhouse.surfaces.cli import meanings
from tests.pages import blocks_of, compare, masked, run_page
from tests.server import environment, serving

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
QUICKSTART = DOCS / "quickstart.md"


def _text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


# --- nothing undocumented -------------------------------------------------------------------------------------------


def test_what_is_made_from_the_source_is_not_stale() -> None:
    made = generator.pages(DOCS)
    assert {page.name for page in made} >= {"operations.md", "operating.md"}
    stale = [page.name for page, text in made.items() if page.read_text(encoding="utf-8") != text]
    assert not stale, "run `make docs`"


def test_every_operation_has_its_page_and_every_field_its_words() -> None:
    headings = set(re.findall(r"^### (\w+)$", _text("operations.md"), re.MULTILINE))
    assert headings == {declared.name for declared in CATALOG}
    silent = [
        f"{declared.name}: {name}"
        for declared in CATALOG
        for model in (declared.ask, declared.answer)
        for name, _kind, _default, words in generator.rows_of(model)
        if not words
    ]
    assert not silent, "give these a description where they are declared, or in surfaces/cli/meanings.py"


def test_somebody_may_ask_for_every_operation() -> None:
    assert "| who may | nobody |" not in _text("operations.md")


def test_every_code_means_something_and_the_reserved_are_answered_by_nothing() -> None:
    assert meanings.CODES.keys() | meanings.RESERVED == problem.TABLE.keys()
    assert not meanings.CODES.keys() & meanings.RESERVED
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "src").rglob("*.py")
        if path.name not in ("problem.py", "meanings.py")
    )
    used = {code for code in meanings.RESERVED if re.search(rf"(?:Refusal|deny)\(\s*(?:NAME, )?\"{code}\"", source)}
    assert not used, "these are answered: say what they mean"


def test_every_setting_and_every_command_is_on_the_operators_page() -> None:
    page = _text("operating.md")
    assert not [name for name in Settings.model_fields if f"`GUARDHOUSE_{name.upper()}`" not in page]
    assert not [usage for usage, _words in generator.commands() if f"`{usage}`" not in page]
    assert all(words for _usage, words in generator.commands()), "a command without a help text"


def test_every_key_of_the_law_is_documented() -> None:
    words = set(re.findall(r"[a-z_]+", _text("policies.md") + _text("guardrails.md")))
    keys = {*profile.LIMITS, "trust_ceiling", "allowed", "blocked", "engine", "include", "approval_required"}
    for source in (ROOT / "policies").rglob("*.yaml"):
        if "cases" not in source.parts and source.name != "programs.yaml":  # that one is keyed by program names
            text = source.read_text(encoding="utf-8")
            keys |= set(re.findall(r"^\s*(?:- )?([a-z_]+):(?:\s|$)", text, re.MULTILINE))
    names = {"default", *(p.stem for p in (ROOT / "policies").rglob("*.yaml"))} | _profile_names()
    assert not sorted(keys - words - names), "say what these mean in docs/policies.md or docs/guardrails.md"


def _profile_names() -> set[str]:
    return set(re.findall(r"^  ([a-z_-]+):$", (ROOT / "policies" / "profiles.yaml").read_text(), re.MULTILINE))


# --- links ----------------------------------------------------------------------------------------------------------


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if not other.exists() or (anchor and anchor not in _anchors(other)):
            dead.append(target)
    assert not dead


# --- snippets that are run ------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """A person's own shell with a home of its own and the command on its path."""
    env = environment(tmp_path / "home", COLUMNS="120", NO_COLOR="1")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return env


def test_the_quickstarts_commands_print_what_it_says(shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    subprocess.run(["guardhouse", "init"], env=shell, check=True, capture_output=True, timeout=60)
    with serving(shell):
        run_page(QUICKSTART, shell, tmp_path)


def test_no_block_of_a_page_is_empty() -> None:
    empty = [
        f"{page.relative_to(ROOT)}: {info or 'a block'}"
        for page in PAGES
        for info, content, *_ in blocks_of(page.read_text(encoding="utf-8"))
        if not content.strip()
    ]
    assert not empty
    assert [info for info, *_ in blocks_of(_text("quickstart.md"))][:3] == ["bash", "text make", "text run.sh"]


@pytest.mark.skipif(shutil.which("make") is None, reason="what `make` prints needs make")
def test_the_quickstart_shows_what_make_prints_before_the_environment_stands(tmp_path: Path) -> None:
    """What the recipe would echo, asked of make itself; nothing is installed."""
    venv = tmp_path / "venv"
    asked = ["make", "--dry-run", "--no-print-directory", "run", f"VENV={venv}", f"PYTHON={sys.executable}"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    echoed = re.findall(r'^echo "(.*)"$', done.stdout, re.MULTILINE)
    shown = next(content for info, content, *_ in blocks_of(_text("quickstart.md")) if info == "text make")
    assert [line.replace(str(venv), ".venv") for line in echoed] == shown.splitlines()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the line to paste needs curl")
def test_the_first_run_prints_a_line_that_works(shell: dict[str, str], tmp_path: Path) -> None:
    shell |= {"BIN": str(Path(sys.executable).parent), "GUARDHOUSE_PORT": "0"}
    log = tmp_path / "run.log"
    with log.open("wb") as sink:
        run = subprocess.Popen(["sh", str(ROOT / "scripts" / "run.sh")], env=shell, stdout=sink, stderr=sink)
    try:
        deadline = time.monotonic() + 180
        while "Ctrl-C" not in log.read_text():
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        said = log.read_text()
        line = said[said.index("curl ") :].partition("\n\n")[0]
        answered = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True).stdout
        run.send_signal(signal.SIGINT)
        run.wait(60)
    finally:
        if run.poll() is None:
            run.kill()
            run.wait(30)
    answer = json.loads(answered)
    assert answer["safe"] is False
    shown = masked(said.replace(shell["GUARDHOUSE_HOME"], ".guardhouse"))
    infos = {info: number for number, (info, *_) in enumerate(blocks_of(QUICKSTART.read_text(encoding="utf-8")))}
    compare(QUICKSTART, {infos["text run.sh"]: shown, infos["json curl"]: masked(json.dumps(answer, indent=1))})
