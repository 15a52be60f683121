"""Wrappers: programs whose arguments are a command, opened down to the command that would run."""

from __future__ import annotations

import re

from guardhouse.guardrails import packaged
from guardhouse.guardrails.programs import UNSPECIFIED, Arguments, Program, arguments
from guardhouse.guardrails.searching import Finder
from guardhouse.guardrails.units import MOST_DEPTH, NOTHING, SOMETHING, Flow, base_name
from guardhouse.guardrails.words import UNKNOWN, Word

_SHELLS = frozenset(
    [
        "sh",
        "bash",
        "zsh",
        "dash",
        "ksh",
        "ash",
        "fish",
        "mksh",
        "rbash",
        "yash",
        "posh",
        "csh",
        "tcsh",
        "pwsh",
        "elvish",
        "nu",
        "xonsh",
    ]
)
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=", re.S)
ALL = 9
"""A `skip` of so many: no positional is a command, so options are looked for behind them as well."""
_RISKY = frozenset(
    [
        "rm",
        "shred",
        "dd",
        "mkfs",
        "wipefs",
        "git",
        "kubectl",
        "terraform",
        "sudo",
        "bash",
        "sh",
        "zsh",
        "chmod",
        "chown",
        "find",
        "docker",
        "truncate",
        "unlink",
        "rmdir",
        "mv",
        "helm",
        "aws",
        "gcloud",
        "az",
        "psql",
        "mysql",
    ]
)


_TOOLS = frozenset(
    ["rimraf", "prisma", "vercel", "netlify", "firebase", "wrangler", "serverless", "sls", "cdk", "ansible-playbook", "ansible", "eksctl", "velero", "argocd", "flux",
     "doctl", "hcloud", "aws", "az", "gcloud", "helm", "terraform", "tofu", "terragrunt", "pulumi", "git", "kubectl", "gh", "fly", "heroku", "supabase", "semgrep", "twine",
     "del-cli", "trash-cli", "sequelize-cli", "knex", "typeorm", "drizzle-kit", "amplify", "sst", "railway", "render", "surge", "lerna", "changeset", "semantic-release", "np", "release-it"]
)  # fmt: skip
"""Programs that rules know and the table need not."""


_CMAKE = {
    "remove_directory": "rm -r", "remove": "rm", "rm": "rm", "rename": "mv", "copy": "cp", "copy_directory": "cp -r",
    "time": "time", "env": "env", "create_symlink": "ln -s", "make_directory": "mkdir", "cat": "cat", "tar": "tar",
}  # fmt: skip
"""The commands of `cmake -E` that are others by another name."""


class Opener(Finder):
    """A reader that opens wrappers by the table of programs."""

    def _unknown_wrapper(self, name: str, program: Program, rest: list[Word], start: int, end: int) -> None:
        if program is not UNSPECIFIED or self.trial or len(rest) < 2 or name.startswith("<"):
            return
        for at, word in enumerate(rest):
            if word.text in _RISKY and at + 1 < len(rest) and self.depth < MOST_DEPTH:
                self.trial = True
                try:
                    self._within(name, self.command, rest[at:], None, start, end)
                finally:
                    self.trial = False

    def _wrapped(self, name: str, program: Program, rest: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        if any(word.text in ("--help", "--version") for word in rest[:1]):
            return SOMETHING
        way = program.run
        if way in ("shell", "code"):
            return self._interpreter(name, program, rest, feed, start, end)
        if way == "eval":
            return self._eval(name, rest, start, end, feed)
        if way == "source":
            return self._source(rest, feed, start, end)
        if way == "find":
            return self._find(name, rest, start, end)
        if name == "command" and rest and rest[0].text in ("-v", "-V"):
            return Flow(base_name(rest[-1].text))
        if way == "texts":
            return self._texts(name, program, rest, start, end)
        if program.after:
            behind = self._behind(program, rest)
            if behind and name == "cmake" and behind[0].text in _CMAKE:
                first = behind[0]
                told = [Word(one, first.start, first.end) for one in _CMAKE[first.text].split()]
                behind = [*told, *behind[1:]]
            if behind:
                whole = way == "join" or len(behind) == 1
                return self._within(name, self._joined_code if whole else self.command, behind, feed, start, end)
            if not program.sub and not program.code:
                if program.lang == "make":
                    self.hooks(name, program, arguments(rest, program))
                return SOMETHING
        if name == "runuser" and not any(word.text.startswith(("-u", "--user")) for word in rest):
            program = self.spec("su")  # without its own option it takes its words as `su` does
        given = arguments(rest, program, stop=program.skip < ALL)
        self.hooks(name, program, given)
        self._option_code(name, program, given, start, end, feed)
        inner = list(given.positionals)
        if program.sub:
            if not inner or inner[0].text not in program.sub:
                kinds = self._touches(program, arguments(rest, program), rest)
                if program.sink:
                    self._sinks(name, program, rest, feed, start, end)
                flow = {program.flow} if program.flow else set()
                return Flow(None, frozenset(kinds | flow))
            given = arguments(inner[1:], program, stop=program.skip < ALL)
            self._option_code(name, program, given, start, end, feed)
            inner = list(given.positionals)
        if program.dashes:
            cut = next((at for at, word in enumerate(rest) if word.text == "--"), -1)
            if cut >= 0:
                behind = rest[cut + 1 :]
                if program.package and inner and (called := self._package(inner[0])) is not inner[0]:
                    behind = [called, *behind]
                return self._within(name, self.command, behind, feed, start, end)
        if program.assigns:
            while inner and ASSIGNMENT.match(inner[0].text):
                self.effect("<assign>", [inner[0]])
                inner = inner[1:]
        if program.package and program.skip and inner:
            inner = self._imaged(inner, program.skip)
        else:
            inner = inner[program.skip :]
        if inner and inner[0].text == "--":
            inner = inner[1:]
        elif inner and program.skip and inner[0].text.startswith("-") and len(inner[0].text) > 1:
            # Options may stand behind the positional as well (`flock FILE -c …`, `docker run IMAGE -c …`).
            late = arguments(inner, program, stop=True)
            self._option_code(name, program, late, start, end, feed)
            inner = list(late.positionals) if program.code else inner
        if program.package and inner and not program.skip:
            inner = [self._package(inner[0]), *inner[1:]]
        entry = next(iter(given.value(("--entrypoint",) if name != "flatpak" else ("--command",))), None)
        if entry is not None:
            inner = [entry, *inner]
        if program.sink:
            self._sinks(name, program, rest, feed, start, end)
        if not inner:
            carried = set(feed.kinds) if feed is not None else set()
            if way == "xargs" and feed is None:
                return SOMETHING
            if program.flow:
                carried.add(program.flow)
            if program.stdin and feed is not None:
                self._within(name, self._feed_code, feed, start, end, program.stdin)
            return Flow(None, frozenset(carried))
        if way == "join":
            return self._within(name, self._joined_code, inner, feed, start, end)
        if way == "xargs":
            return self._within(name, self._xargs, name, given, inner, feed, start, end)
        return self._within(name, self.command, inner, feed, start, end)

    def _package(self, word: Word) -> Word:
        """A package's name as that of the program it holds, where that is one we know."""
        called = packaged.program(word.text)
        return Word(called, word.start, word.end, word.kinds) if called in self.programs or called in _TOOLS else word

    def _imaged(self, inner: list[Word], skip: int) -> list[Word]:
        """What runs in a container: the command given to it, or the image's own program with these arguments."""
        behind = inner[skip:]
        image = self._package(inner[skip - 1])
        if image is inner[skip - 1] or not behind:
            return behind
        first = base_name(behind[0].text)
        return behind if first in self.programs or first in _TOOLS else [image, *behind]

    def _option_code(
        self, name: str, program: Program, given: Arguments, start: int, end: int, feed: Flow | None
    ) -> None:
        for word in given.value(program.code):
            self._within(name, self._code, word, program.lang, start, end, feed)

    @staticmethod
    def _behind(program: Program, rest: list[Word]) -> list[Word]:
        """The words behind the option that says that a command follows (`xterm -e …`, `nix develop -c …`)."""
        for at, word in enumerate(rest):
            name, equals, value = word.text.partition("=")
            if name.lower() in program.after or name in program.after:
                behind = rest[at + 1 :]
                if equals and name.startswith("--"):
                    return [Word(value, word.start, word.end, word.kinds), *behind]
                return behind[:1] + behind[2:] if len(behind) > 1 and behind[1].text == "--" else behind
        return []

    def _texts(self, name: str, program: Program, rest: list[Word], start: int, end: int) -> Flow:
        """Every positional is a command line of its own."""
        for word in arguments(rest, program).positionals:
            self._within(name, self._code, word, "shell", start, end)
        return SOMETHING

    def _joined_code(self, inner: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        if not inner:
            return SOMETHING
        if len(inner) > 1 and not any(mark in word.text for word in inner for mark in ";|&<>$` "):
            return self.command(inner, feed, start, end)
        text = " ".join(word.text for word in inner)
        kinds = frozenset().union(*(word.kinds for word in inner))
        return self._code(Word(text, inner[0].start, inner[-1].end, kinds), "shell", start, end, feed)

    def _xargs(self, name: str, given: Arguments, inner: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        marks = [word.text for word in given.value(("-I", "-i", "--replace", "-J"))] or (
            ["{}"]
            if any(o in ("-i", "-I", "--replace") for o, _ in given.options)
            or name == "parallel"
            or "{}" in [w.text for w in inner]
            else []
        )
        added: list[Word]
        if name == "parallel" and any(word.text in (":::", "::::") for word in inner):
            cut = next(at for at, word in enumerate(inner) if word.text in (":::", "::::"))
            added, inner = inner[cut + 1 :], inner[:cut]
            if not inner:
                for one in added:
                    self._code(one, "shell", start, end)
                return SOMETHING
        elif feed is not None and feed.text is not None and UNKNOWN not in feed.text:
            if marks or (
                base_name(inner[0].text) in _SHELLS and inner[-1].text.endswith("c") and inner[-1].text.startswith("-")
            ):
                shell = base_name(inner[0].text) in _SHELLS
                lines = [feed.text] if shell else re.split(r"[\n\0]+", feed.text)
                added = [Word(one.strip(), start, end, feed.kinds) for one in lines if one.strip()]
            else:
                added = [Word(one, start, end, feed.kinds) for one in re.split(r"[\s\0]+", feed.text) if one]
        else:
            added = [Word(UNKNOWN, start, end, (feed.kinds if feed else NOTHING) | {"piped"})]
        if not inner:
            return SOMETHING
        if marks and any(mark in word.text for word in inner for mark in marks):
            flow = SOMETHING
            for one in added or [Word(UNKNOWN, start, end)]:
                made = []
                for word in inner:
                    for mark in marks:
                        if mark in word.text:
                            word = Word(word.text.replace(mark, one.text), word.start, word.end, word.kinds | one.kinds)
                    made.append(word)
                flow = self._given(name, made, feed, start, end)
            return flow
        return self._given(name, inner + added, feed, start, end)

    def _given(self, name: str, inner: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        """One command that `xargs` or its like runs, with what it was given."""
        if len(inner) == 1 or (" " in inner[0].text and name == "parallel"):
            text = " ".join(word.text for word in inner)
            return self._code(Word(text, inner[0].start, inner[-1].end, inner[0].kinds), "shell", start, end)
        if base_name(inner[0].text) in _SHELLS and not any(
            word.text.startswith("-") and "c" in word.text for word in inner[1:2]
        ):
            if feed is not None and "fetch" in feed.kinds:
                self.event("fetched", start, end)
        elif inner[-1].dynamic and base_name(inner[0].text) in _SHELLS and inner[-2].text.endswith("c"):
            self.event("fetched" if feed is not None and "fetch" in feed.kinds else "code", start, end)
        return self.command(inner, None, start, end)
