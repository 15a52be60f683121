"""Code in unlikely places: variables and settings that name a command, and files whose lines are commands."""

from __future__ import annotations

import json
import re

from guardhouse.guardrails import delimited, powershell
from guardhouse.guardrails.coding import Coder
from guardhouse.guardrails.programs import Arguments, Program
from guardhouse.guardrails.words import UNKNOWN, Word

_RUN_BY_OTHERS = frozenset(
    [
        "PAGER", "GIT_PAGER", "MANPAGER", "SYSTEMD_PAGER", "PSQL_PAGER", "EDITOR", "VISUAL", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR",
        "GIT_SSH_COMMAND", "GIT_SSH", "GIT_ASKPASS", "SSH_ASKPASS", "SUDO_ASKPASS", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND",
        "PROMPT_COMMAND", "BROWSER", "LESSOPEN", "LESSCLOSE", "RSYNC_RSH", "CVS_RSH", "TAR_OPTIONS", "FZF_DEFAULT_COMMAND", "KUBE_EDITOR",
    ]
)  # fmt: skip
"""Variables whose value other programs run as a command."""
_SETTING = re.compile(
    r"(?is)(?P<name>match|proxycommand|localcommand|knownhostscommand|remotecommand|exec|core\.(?:pager|sshcommand|editor|fsmonitor|askpass|gitproxy)"
    r"|pager\.[\w-]+|alias\.[\w.-]+|diff\.external|diff\.\S+?\.(?:command|textconv)|(?:diff|merge)tool\.\S+?\.cmd|filter\.\S+?\.(?:clean|smudge|process)"
    r"|merge\.\S+?\.driver|sequence\.editor|credential(?:\.\S+?)?\.helper|gpg(?:\.\w+)?\.program|uploadpack\.\w+)(?:\s*=\s*|\s+)(?P<value>.+)"
)
_RECIPE = re.compile(r"^(?:\t|[\w.%/$(){} -]*::?[^=;]*;)\s*[@+-]*(.*)$", re.M)
_MAKE_SHELL = re.compile(r"\$\(shell\s+([^()]*(?:\([^()]*\)[^()]*)*)\)")
_CRON = re.compile(r"^[^\S\n]*+(?:@\w+|(?:[\d*/,a-zA-Z-]++[^\S\n]++){5})(.+)$", re.M)
_EDITED = re.compile(
    r"(?m)(?:^|[|:])[^\S\n]*+(?:(r|read|e|edit|tabe\w*|sp|split|vs\w*|view|so|source)|w|write|sav\w*|up\w*)!?\s+([~/.$][^\s|]+)"
)
"""The file that an editor's command reads or writes."""
_BANG = re.compile(r"^(?:[:\d,%$+]|[^\S\n])*+(?:r(?:ead)?[^\S\n]*+)?+!\s*+(.+)$", re.M)
_VIM_CALL = re.compile(
    r"""\b(?:system|termopen|jobstart|job_start|term_start)\s*\(\s*(["'])((?:\\.|(?!\1)[^\\\n])*+)\1"""
)
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_JUSTFILES = ("justfile", "Justfile", ".justfile")
_PACKAGERS = frozenset({"npm", "pnpm", "yarn", "bun"})


def _scripts(text: str) -> list[str]:
    """The commands of a package's scripts; none where it is no such file."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    scripts = value.get("scripts") if isinstance(value, dict) else None
    return [one for one in scripts.values() if isinstance(one, str)] if isinstance(scripts, dict) else []


_PUTS = re.compile(r"(?m)^[^\S\n]*+m?(?:put|send|append|reput)\s++(?:-\S++\s++)*+(\S+)")
_TOOL = re.compile(r"(SHELL|CC|CXX|LD|AR|RM|CP|MV|INSTALL|PYTHON|NODE|MAKE|\w*(?:CMD|COMMAND))[?:+]?=")
"""Variables by which a makefile's tools are named; with options alone they are but tools (`CC='gcc -m32'`)."""


class Hooker(Coder):
    """A reader that follows code out of settings."""

    def assigned(self, word: Word) -> None:
        """A variable was given a value; some are run by the programs that read them."""
        name, _, value = word.text.partition("=")
        name = name.removesuffix("+")
        if name in _RUN_BY_OTHERS and value and value != UNKNOWN and not self.trial:
            text = value.lstrip("|!")
            if name == "TAR_OPTIONS":
                self._setting("tar", Word(text, word.start, word.end))
            elif " " in text or "/" in text:
                self._within(
                    name, self._code, Word(text, word.start, word.end, word.kinds), "shell", word.start, word.end
                )

    def hooks(self, name: str, program: Program, given: Arguments) -> None:
        """Options whose value is code, or a setting that names a command."""
        for word in given.value(program.settings):
            self._setting(name, word)
        if self.state.files or self.state.trees or self.state.clones:
            self._project(name, program, given)
        if program.lang == "make":
            for word in given.positionals:
                value = word.text.partition("=")[2]
                if "$(shell" in value:
                    self._within(name, self._code, word, "make", word.start, word.end)
                elif _TOOL.match(word.text) and any(not one.startswith("-") for one in value.split()[1:]):
                    self._within(name, self._code, Word(value, word.start, word.end), "shell", word.start, word.end)
        if not program.run:
            for word in given.value(program.code):
                text = word.text.lstrip("!|") if program.lang == "shell" else word.text
                if text.startswith("exec="):
                    text = text[5:]
                elif "exec" in program.lang:
                    continue
                made = Word(text, word.start, word.end, word.kinds)
                self._within(name, self._code, made, program.lang, word.start, word.end)
        if program.configures and given.positionals[: len(program.configures)]:
            head = tuple(word.text for word in given.positionals[: len(program.configures)])
            tail = given.positionals[len(program.configures) :]
            if head == program.configures and len(tail) > 1:
                first, last = tail[-2], tail[-1]
                self._setting(name, Word(f"{first.text}={last.text}", last.start, last.end, last.kinds))

    def _project(self, name: str, program: Program, given: Arguments) -> None:
        """A project's file that this text wrote and whose commands this program runs."""
        if program.lang == "make":
            named = [word.text for word in given.value(("-f", "--file", "--makefile", "--justfile"))] or list(
                _JUSTFILES if name == "just" else _MAKEFILES
            )
            lang = "make"
        elif name in _PACKAGERS:
            named, lang = ["package.json"], "package"
        else:
            return
        for one in named:
            known = self.state.files.get(one) or self.state.files.get(f"./{one}")
            if known is not None and known.text is not None:
                self._within(name, self._code, Word(known.text, 0, len(self.source)), lang, 0, len(self.source))
            elif known is not None and "fetch" in known.kinds:
                self.event("fetched", 0, len(self.source))
        folder = next((word.text for word in given.value(("-C", "--directory", "--prefix", "-d"))), "")
        if self.in_brought(folder):
            self.event("unpacked", 0, len(self.source))

    def _setting(self, name: str, word: Word) -> None:
        match = _SETTING.fullmatch(word.text.strip())
        if match is None:
            return
        value = match["value"].strip()
        if match["name"].lower().startswith("alias.") and not value.startswith("!"):
            value = f"git {value}"
        value = value.lstrip("!")
        if match["name"].lower() == "match":
            value = value.partition("exec")[2].strip().strip("\"'")
        if " " in value or "/" in value:
            made = Word(value, word.start, word.end, word.kinds)
            self._within(f"{name} {match['name']}", self._code, made, "shell", word.start, word.end)

    def lines(self, text: str, lang: str, start: int, end: int) -> bool:
        """Code of a language whose lines hold commands. Whether it was such a language."""
        if lang == "make":
            found = [match[1] for match in _RECIPE.finditer(text)]
            found += [match[1] for match in _MAKE_SHELL.finditer(text)]
        elif lang == "package":
            found = _scripts(text)
        elif lang == "cron":
            found = [match[1] for match in _CRON.finditer(text)]
        elif lang == "bang":
            found = [match[1] for match in _BANG.finditer(text)]
            found += [match[2] for match in _VIM_CALL.finditer(text)]
            for match in _EDITED.finditer(text):
                self.effect("<read>" if match[1] else "<write>", [Word(match[2], start, end)])
        elif lang == "listed":
            found = [text[at + 1 : to] for at, to in delimited.texts(text, "'\"")] or [text.removeprefix("commands=")]
        elif lang == "ftp":
            found = [f"scp {match[1]} host:" for match in _PUTS.finditer(text)]
            found += [match[1] for match in _BANG.finditer(text)]
        elif lang == "powershell":
            return self._powershell(text, start, end)
        else:
            return False
        for one in found:
            self.run_text(one.replace(UNKNOWN, "$unknown"), start, end)
        return True

    def _powershell(self, text: str, start: int, end: int) -> bool:
        """Its syntax is not a shell's, but plain commands look alike; what cannot be read as one is not held against it."""
        made, events = powershell.read(text)
        for name in events:
            self.event(name, start, end)
        known = len(self.events)
        for line in re.split(r"[;\n]|\|\||&&", text):
            plain = re.sub(r"[{}()]", " ", line).strip()
            if plain:
                self.run_text(plain.replace("\\", "/").replace(UNKNOWN, "$unknown"), start, end)
        for line in made:
            self.run_text(line.replace(UNKNOWN, "$unknown"), start, end)
        self.events[known:] = [
            one for one in self.events[known:] if one.name not in ("syntax", "program", "code", "hidden")
        ]
        return True
