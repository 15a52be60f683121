"""What a text brings from elsewhere and then runs: an archive's content, a program compiled from a download."""

from __future__ import annotations

import re

from guardhouse.guardrails import paths
from guardhouse.guardrails.effects import Effects
from guardhouse.guardrails.programs import Arguments
from guardhouse.guardrails.units import Flow
from guardhouse.guardrails.words import UNKNOWN, Word

UNPACKED = Flow(None, frozenset({"unpacked"}))
"""A file out of an archive that was fetched: nobody has read it."""
CLONED = Flow(None, frozenset({"cloned"}))
"""A file of a repository that was fetched: its host vouches for it, so that only running it as somebody else asks."""
COMPILED = Flow(None, frozenset({"fetch"}))
_BROUGHT = frozenset({"fetch", "unpacked"})
_TARS = frozenset({"tar", "gtar", "bsdtar"})
_UNPACKS = frozenset([*_TARS, "unzip", "7z", "7za", "7zz", "unrar", "unar", "jar", "cpio", "pax", "zipfile", "tarfile"])
_OF_C = frozenset(["gcc", "cc", "clang", "g++", "c++", "clang++", "tcc"])
_COMPILERS = _OF_C | frozenset(
    ["rustc", "javac", "ghc", "swiftc", "kotlinc", "nvcc", "zig", "dmd", "fpc", "nim", "ocamlopt", "ocamlc", "nasm", "go-build", "tsc", "ld"]
)  # fmt: skip
_STARTERS = frozenset(["java", "kotlin", "scala", "mono", "wine", "wine64", "dotnet", "electron"])
_INSTALLERS = frozenset(["dpkg", "rpm", "apt", "apt-get", "dnf", "yum", "zypper", "apk"])
"""What runs the scripts of a package file, mostly as root."""
BRINGERS = _UNPACKS | _COMPILERS | _STARTERS | _INSTALLERS
_OWN_FOLDERS = frozenset(
    ["src", "scripts", "script", "tools", "test", "tests", "node_modules", ".venv", "venv", "build", "dist", "examples", "ci", ".github", "packages", "apps", "app", "cmd", "gradlew", "mvnw"]
)  # fmt: skip
"""Names in a working tree that an archive unpacked beside them hardly brought."""
_INSTALLS = re.compile(r"(?i)(?:\./)?(?:install|setup|bootstrap|configure|autogen|run|start|deploy)[\w.-]*")


class Bringer(Effects):
    """A reader that remembers which folders and programs come from elsewhere."""

    def known(self, text: str) -> Flow | None:
        """What is known of a file that is about to be run; None where it was there before."""
        files = self.state.files
        found = files.get(text) or files.get(text.removeprefix("./"))
        if found is not None or not (self.state.trees or self.state.clones):
            return found
        path = paths.resolve(text, self.state.cwd)
        for tree, named in self.state.trees.items():
            below = _below(path, tree)
            if below and (named or self._of_archive(text, below)):
                return UNPACKED
        return CLONED if any(_below(path, tree) for tree in self.state.clones) else None

    def in_brought(self, folder: str) -> bool:
        """Whether this folder, or else the one that commands now run in, came out of an archive that was fetched."""
        path = paths.resolve(folder or ".", self.state.cwd)
        if self.raised() and any(path == tree or _below(path, tree) for tree in self.state.clones):
            return True
        return any(
            (named and path == tree) or ((below := _below(path, tree)) and (named or self._of_archive("./", below)))
            for tree, named in self.state.trees.items()
        )

    def cloned(self, given: Arguments) -> None:
        """Note the folder of `git clone URL [FOLDER]`."""
        _clone, *named = given.positionals
        if not named or paths.classes(named[0].text).isdisjoint(("url", "remote")):
            return
        folder = named[1].text if len(named) > 1 else named[0].text.rstrip("/").rpartition("/")[2].removesuffix(".git")
        if folder.strip("./"):
            self.state.clones.add(paths.resolve(folder, self.state.cwd))

    def copied(self, sources: list[Word], target: Word) -> None:
        """Note the copy of, or link to, a program under another name."""
        if len(sources) != 1:
            return
        text = sources[0].text
        folder, _, name = text.rpartition("/")
        found = folder.rpartition("/")[2] in ("bin", "sbin")
        if not folder and self.source[sources[0].start : sources[0].end].lstrip("\"'")[:2] in ("$(", "`w", "`c", "`t"):
            # What `$(which rm)` names is the program.
            found = name in self.programs
        if found and name and UNKNOWN not in name and UNKNOWN not in target.text:
            self.state.copies[paths.resolve(target.text, self.state.cwd)] = name

    def original(self, text: str, name: str) -> str:
        """The program that a command's first word runs: that of which it is a copy, or what it says."""
        if "/" in text:
            return self.state.copies.get(paths.resolve(text, self.state.cwd), name)
        if name in self.programs:
            return name
        return next((one for path, one in self.state.copies.items() if path.rpartition("/")[2] == name), name)

    def raised(self) -> bool:
        """Whether what runs now runs as somebody else."""
        return any(one.split(" ", 1)[0] in ("sudo", "doas", "su", "pkexec", "runuser") for one in self.via)

    @staticmethod
    def _of_archive(text: str, below: str) -> bool:
        """Of an archive unpacked where the working tree is: what is run by a path, or installs."""
        first, slash, _rest = below.partition("/")
        if first in _OWN_FOLDERS:
            return False
        return bool(slash) or text.startswith("./") or _INSTALLS.fullmatch(below) is not None

    def brings(self, name: str, given: Arguments, rest: list[Word], feed: Flow | None, start: int, end: int) -> None:
        """Note what an unpacker or a compiler leaves behind, or run what a starter is given."""
        if name in _COMPILERS:
            self._compiled(name, given, feed)
        elif name in _STARTERS or name in _INSTALLERS:
            started = given.value(("-jar", "--jar")) or given.positionals[:1]
            for word in given.positionals if name in _INSTALLERS else started:
                found = self.known(word.text)
                if found is not None and found.kinds & _BROUGHT:
                    self.event("fetched" if "fetch" in found.kinds else "unpacked", start, end)
        else:
            self._unpacked(name, given, rest, feed)

    def _unpacked(self, name: str, given: Arguments, rest: list[Word], feed: Flow | None) -> None:
        options = {option for option, _ in given.options}
        positionals = list(given.positionals)
        archives: list[Word]
        if name in _TARS:
            if not options & {"-x", "--extract", "--get"}:
                return
            archives = given.value(("-f", "--file"))
            into = given.value(("-C", "--directory"))
        elif name in ("unzip", "unar"):
            archives, into = positionals[:1], given.value(("-d", "-o"))
        elif name in ("zipfile", "tarfile"):
            if not options & {"-e", "--extract"}:
                return
            archives, into = positionals[:1], positionals[1:2]
        elif name == "jar":
            archives, into = [one for one in rest if one.text.endswith((".jar", ".zip", ".war"))], []
        else:
            archives = positionals[1:2] if name != "cpio" else []
            into = [Word(one.text[2:]) for one in rest if one.text.startswith("-o") and len(one.text) > 2]
        feeds = feed is not None and "fetch" in feed.kinds
        stored = [self.known(one.text) for one in archives]
        if feeds or any(one is not None and one.kinds & _BROUGHT for one in stored):
            target = into[-1].text if into else "."
            tree = paths.resolve(target, self.state.cwd)
            self.state.trees[tree] = target.strip("./") != "" or self.state.trees.get(tree, False)

    def _compiled(self, name: str, given: Arguments, feed: Flow | None) -> None:
        found = [self.known(word.text) for word in given.positionals]
        brought = [one for one in found if one is not None and one.kinds & _BROUGHT]
        if not brought and not (feed is not None and "fetch" in feed.kinds):
            return
        made = COMPILED if not brought or any("fetch" in one.kinds for one in brought) else UNPACKED
        named = [word.text for word in given.value(("-o", "--output", "--out", "-out"))]
        if not named:
            stems = [word.text.rpartition("/")[2].rpartition(".")[0] for word in given.positionals]
            named = ["a.out"] if name in _OF_C else stems
        for one in named:
            if one:
                self.state.files[one.removeprefix("./")] = made


def _below(path: str, tree: str) -> str:
    """The rest of a path below a folder; empty where it is not below it."""
    if tree in ("", "."):
        return "" if path.startswith(("/", "~", "..")) else path
    return path[len(tree) + 1 :] if path.startswith(f"{tree}/") else ""
