"""What each command does: wrappers opened, code read, paths touched, flows followed."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise

from guardhouse.guardrails import paths
from guardhouse.guardrails.bringing import BRINGERS
from guardhouse.guardrails.decode import DECODERS, UNPACKERS, decoded, printed
from guardhouse.guardrails.effects import SENSITIVE, chosen
from guardhouse.guardrails.opening import ASSIGNMENT, Opener
from guardhouse.guardrails.programs import Arguments, Program, arguments
from guardhouse.guardrails.searching import without_clauses
from guardhouse.guardrails.turns import turn
from guardhouse.guardrails.units import ALONE, NOTHING, SOMETHING, Flow, Spent, base_name
from guardhouse.guardrails.words import UNKNOWN, Word

_DESCRIPTOR = re.compile(r"\{\w+\}")
"""`exec {fd}> file`: a variable for the number of an opened file."""


_SIEVES = frozenset({"grep", "egrep", "fgrep", "rg", "ag"})


def _sieves(given: Arguments) -> bool:
    """Whether a filter lets only some lines through: a pattern with three letters together, and not all but those."""
    if any(option in ("-v", "--invert-match", "-L", "--files-without-match", "-f") for option, _ in given.options):
        return False
    patterns = [word.text for word in given.value(("-e", "--regexp"))] or [word.text for word in given.positionals[:1]]
    return bool(patterns) and all("|" not in text and re.search(r"\w{3}", text) is not None for text in patterns)


def _lists_all(name: str, given: Arguments) -> bool:
    """Whether `git ls-files` or `rg --files` names every file of a tree, and not only some."""
    options = {option for option, _ in given.options}
    if name == "rg":
        return "--files" in options and options.isdisjoint(("-g", "--glob", "-t", "--type", "--iglob"))
    named = [word.text for word in given.positionals]
    return (
        named[:1] == ["ls-files"]
        and all(text in (".", ":/", "*", "./") for text in named[1:])
        and options.isdisjoint(("-d", "--deleted", "-u", "--unmerged", "-i", "--ignored"))
    )


_NUMBERS = re.compile(r"(?:%[sd]|\\n|\s)+")
_ONE_PORT = re.compile(
    r"(?:-[tnPw]+ |-sTCP:LISTEN )*-[tnPw]*i ?[46]?(?:tcp|udp|TCP|UDP)?(?:@[\w.]+)?:\d+(?: -[tnPw]+| -sTCP:LISTEN)*"
)
"""Arguments by which `lsof` lists whoever holds one port, and nobody else."""


def _only_own(name: str, words: list[Word]) -> bool:
    """Whether `echo` or `printf` prints nothing but the shell's own number, or its child's."""
    if name == "printf":
        if _NUMBERS.fullmatch(words[0].text) is None:
            return False
        words = words[1:]
    return all(word.text == UNKNOWN and word.kinds == {"own"} for word in words)


_BUILT_IN = frozenset({"echo", "printf", "test", "[", "cd", "pwd", "true", "false", "kill", ":", "read", "set"})


_NAMING = frozenset({"test", "[", "printf", "read", "unset", "mapfile", "readarray"})
"""What takes names of variables as words: the shell works out what stands in their brackets, commands included."""


class Runner(Opener):
    """A reader that knows programs."""

    def command(self, args: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        """One simple command with its words known as far as they can be."""
        turn()
        self.nodes -= 1 + len(args)
        if self.nodes < 0:
            raise Spent
        while args and ASSIGNMENT.match(args[0].text) and UNKNOWN not in args[0].text.partition("=")[0]:
            self.effect("<assign>", [args[0]])
            args = args[1:]
        if not args:
            return Flow("", NOTHING)
        head = args[0]
        if not head.text and len(args) == 1:
            return Flow("", head.kinds)
        if head.dynamic:
            return self._dynamic(args, feed, start, end)
        name = base_name(head.text)
        if self.state.copies:
            name = self.original(head.text, name)
        if name not in self.programs:
            if name.isupper() and name.lower() in self.programs:
                # Some file systems do not tell the cases apart.
                name = name.lower()
                args = [head, *(Word(word.text.lower(), word.start, word.end, word.kinds) for word in args[1:])]
            elif name not in ("[", "[[") and any(mark in name for mark in "*?["):
                self.event("program", start, end, name)
                return SOMETHING
            elif name[:1] == "{" and len(name) > 1 and _DESCRIPTOR.fullmatch(name) is None:
                # A group or a brace list that the grammar took for a program's name.
                self.event("syntax", start, end)
                return SOMETHING
        if name in self.state.functions and name not in self.state.called:
            flow = self.call(name, args[1:], feed)
            if flow is not None:
                return flow
        alias = self.state.aliases.get(name)
        if alias is not None and name not in self.via:
            text = alias + " " + " ".join(shlex.quote(word.text) for word in args[1:])
            return self._within(name, self.run_text, text, start, end, feed)
        if "{" in head.text and head.text == "{" and len(args) > 1:
            return self.command([word for word in args[1:] if word.text not in (";", "}")], feed, start, end)
        if self.state.files or self.state.trees or self.state.clones:
            self._run_file(head.text, start, end)
        program: Program = self.spec(name)
        rest = args[1:]
        if name == "git" and rest and rest[0].text == "--":
            rest = rest[1:]
        unit = self.unit(name, without_clauses(rest) if program.run == "find" else rest, start, end, feed)
        if program.deeper and any(word.text in program.below for word in rest):
            deeper = self._deeper(name, program, rest)
            if deeper is not None:
                if program.settings:
                    for word in arguments(rest, program, stop=True).value(program.settings):
                        self._setting(name, word)
                name, program, rest = deeper
        if program.run:
            return self._wrapped(name, program, rest, feed, start, end)
        given = arguments(rest, program)
        if rest is unit.args:
            unit.given = given
        return self._plain(name, program, rest, given, feed, start, end)

    def _deeper(self, name: str, program: Program, rest: list[Word]) -> tuple[str, Program, list[Word]] | None:
        """The row of a subcommand (`docker-compose` for `docker compose`), where the table has one."""
        found = None
        for _ in range(3):
            given = arguments(rest, program, stop=True)
            if not given.positionals:
                break
            called = f"{name}-{given.positionals[0].text}"
            below = self.programs.get(called)
            if below is None:
                break
            name, program, rest = called, below, list(given.positionals[1:])
            found = (name, program, rest)
            if not below.deeper:
                break
        return found

    def _dynamic(self, args: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        kinds = args[0].kinds
        if "fetch" in kinds:
            self.event("fetched", start, end)
        elif "decode" in kinds:
            self.event("decoded", start, end)
        elif args[0].text == UNKNOWN or not args[0].text.startswith(("~", "/", ".")):
            tail = args[0].text.rpartition("/")[2]
            if UNKNOWN in tail:
                self.event("program", start, end, args[0].text.replace(UNKNOWN, "…"))
            else:
                return self.command([Word(tail, args[0].start, args[0].end), *args[1:]], feed, start, end)
        return SOMETHING

    def _plain(
        self,
        name: str,
        program: Program,
        rest: list[Word],
        given: Arguments,
        feed: Flow | None,
        start: int,
        end: int,
    ) -> Flow:
        """A program that runs nothing of what it is given."""
        helps = any(option in ("--help", "--version") for option, _ in given.options) and any(
            word.text in ("--help", "--version") for word in rest
        )
        if program.code or program.settings or program.configures:
            self.hooks(name, program, given)
        kinds: set[str] = set()
        for word in rest:
            if word.kinds:
                kinds |= word.kinds
        if program.touches and not helps:
            kinds |= self._touches(program, given, rest, feed)
        if name in _NAMING:
            self._subscripts(name, rest, start, end)
        if name in ("echo", "printf"):
            if name == "printf" and given.positionals and rest[0].text == "-v" and len(rest) > 2:
                made = printed("printf", [word.text for word in rest[2:]])
                self.state.variables[rest[1].text] = (UNKNOWN if made is None else made, NOTHING)
                return Flow("")
            if "own" in kinds and not _only_own(name, rest):
                kinds.discard("own")
            return Flow(printed(name, [word.text for word in rest]), frozenset(kinds))
        if name == "cd" or name == "pushd":
            target = given.positionals[0].text if given.positionals else "~"
            self.state.cwd = paths.resolve(target, self.state.cwd)
            return Flow("")
        if name == "alias":
            for word in rest:
                key, equals, value = word.text.partition("=")
                if equals and UNKNOWN not in value:
                    self.state.aliases[key] = value
            return Flow("")
        if name == "hash" and len(given.positionals) == 2 and given.positionals[1].text not in _BUILT_IN:
            # What a name is hashed to is run for it, unless the shell has it built in.
            self.state.aliases[given.positionals[1].text] = given.positionals[0].text
            return Flow("")
        if name == "set":
            if not rest:
                return Flow(None, frozenset({"env"}))
            if given.positionals or given.ended:
                self.positionals(list(given.positionals))
            return Flow("")
        if name == "let":
            self.counted(" ".join(word.text for word in rest))
            return Flow("")
        if name == "shift":
            self._shifted(given)
            return Flow("")
        if name in ("read", "mapfile", "readarray"):
            taint = feed.kinds if feed else NOTHING
            names = given.positionals
            text = feed.text.rstrip("\n") if feed and feed.text is not None else None
            parts = [] if text is None else self._fields(text, len(names))
            for word in given.value(("-a",)) if name == "read" else names:
                if text is None or UNKNOWN in text:
                    self.filled(word.text, [Word(UNKNOWN, start, end, taint)])
                else:
                    listed = text.split("\n") if name != "read" else self._fields(text, len(text))
                    self.filled(word.text, [Word(one, start, end, taint) for one in listed])
            for number, word in enumerate(names):
                known = UNKNOWN if text is None else parts[number] if number < len(parts) else ""
                self.state.variables[word.text] = (known, taint)
                if name != "read":
                    self.state.variables[word.text] = (known.partition("\n")[0], taint)
            return Flow("")
        if name == "trap" and given.positionals:
            self._within("trap", self._code, given.positionals[0], "shell", start, end)
            return Flow("")
        if name in ("pwd",):
            return Flow(self.state.cwd or ".")
        if name == "mktemp":
            return Flow("/tmp/tmp.made")  # noqa: S108  a word's value, no file is made
        if name in ("whoami", "nproc", "date", "uname", "hostname", "basename", "dirname", "seq") and name != "seq":
            return Flow(None, frozenset(kinds))
        if name == "which" or (name == "type" and rest and rest[0].text in ("-p", "-P")):
            return Flow(base_name(given.positionals[-1].text) if given.positionals else None)
        if feed is not None:
            kinds |= feed.kinds if name == "tee" else feed.kinds - ALONE
        if name in DECODERS:
            made = decoded(name, [word.text for word in rest], self._input(given, feed))
            if made is not None:
                return Flow(made, frozenset(kinds | ({"decode"} if name not in ("tr", "gzip") else set())))
            if name in UNPACKERS or any(
                word.text.startswith(("-d", "-D", "--d", "-r", "-p", "-c", "-O", "-xO", "--to-stdout"))
                or word.text in ("enc", "-di")
                or (name == "tar" and "O" in word.text and word is rest[0])
                for word in rest
            ):
                kinds.add("decode")
        if program.sink and not helps:
            self._sinks(name, program, rest, feed, start, end, kinds)
        for word in chosen(given.positionals, program.queries):
            self._code(word, "sql", start, end)
        if program.flow == "env":
            if not given.positionals or name in ("printenv", "history"):
                kinds.add("env")
        elif program.flow == "same":
            if feed is not None and feed.text is not None and (not given.positionals or name == "tee"):
                if name == "tee":
                    self._saved(given, feed)
                return Flow(feed.text, frozenset(kinds))
            if program.reads and len(given.positionals) == 1:
                kept = self.state.files.get(given.positionals[0].text)
                if kept is not None:
                    return Flow(kept.text, kept.kinds | kinds)
                if name == "cat" and given.positionals[0].text.endswith(".pid"):
                    kinds.add("known_pid")
        elif program.flow and not (program.flow == "fetch" and not given.positionals and not given.options[1:]):
            kinds.add(program.flow)
            if name == "lsof" and _ONE_PORT.fullmatch(" ".join([word.text for word in rest])):
                kinds.add("known_pid")
        if program.write_flags and program.flow == "fetch":
            saved = given.value(program.write_flags)
            folder = next(iter(given.value(("-P", "--directory-prefix", "--output-dir"))), None)
            if saved:
                self.state.files[saved[0].text] = Flow(None, frozenset({"fetch"}))
            elif name == "wget" or any(option in ("-O", "--remote-name") for option, _ in given.options):
                for word in given.positionals:
                    leaf = word.text.rpartition("/")[2]
                    self.state.files[f"{folder.text}/{leaf}" if folder is not None else leaf] = Flow(
                        None, frozenset({"fetch"})
                    )
        if name in ("scp", "sftp", "rsync") and len(given.positionals) > 1:
            self._copied(given)
        if name == "git" and given.positionals and given.positionals[0].text == "clone":
            self.cloned(given)
        if name in ("git", "rg") and _lists_all(name, given):
            kinds.add("everything")
        elif name == "ls" and any(paths.classes(word.text, self.state.cwd) & SENSITIVE for word in given.positionals):
            kinds.add("sought")
        elif "everything" in kinds and name in _SIEVES and _sieves(given):
            kinds.discard("everything")
        if name in BRINGERS:
            self.brings(name, given, rest, feed, start, end)
        if name == "tee" and feed is not None:
            self._saved(given, feed)
        if name in ("cp", "mv", "ln", "install") and len(given.positionals) == 2:
            source = given.positionals[0].text
            copied = feed if source in ("/dev/stdin", "/dev/fd/0") else self.state.files.get(source)
            if copied is not None:
                self.state.files[given.positionals[1].text] = copied
            self.copied([given.positionals[0]], given.positionals[1])
        if program.stdin and feed is not None and (program.fed or not given.positionals):
            if program.stdin == "argv":
                if feed.text is None and not any(word.text in ("-x", "-X") for word in rest) and program.fed:
                    self.event("stdin", start, end)
                for line in (feed.text or "").splitlines():
                    self.unit(name, [Word(one, start, end) for one in line.split()], start, end, None)
            else:
                self._within(name, self._feed_code, feed, start, end, program.stdin)
        self._unknown_wrapper(name, program, rest, start, end)
        return Flow(None, frozenset(kinds))

    def _subscripts(self, name: str, rest: list[Word], start: int, end: int) -> None:
        """Run the commands in the brackets of names: `test -v 'a[$(…)]'`."""
        texts = [word.text for word in rest]
        if name == "printf":
            texts = texts[:2] if texts and texts[0].startswith("-v") else []
        elif name in ("test", "["):
            texts = [text for before, text in pairwise(texts) if before == "-v"]
        for text in texts:
            within = text[text.find("[") + 1 : text.rfind("]")]
            if ("$(" in within or "`" in within) and UNKNOWN not in within:
                self._within(name, self.run_text, f"echo {within}", start, end)

    def _shifted(self, given: Arguments) -> None:
        """The first arguments go; where it is not known how many there are, none of them is known."""
        by = given.positionals[0].text if given.positionals else "1"
        left = self.elements("")
        if by.isdigit() and "@" in self.state.variables:
            if int(by) <= len(left):
                self.positionals([Word(text, kinds=kinds) for text, kinds in left[int(by) :]])
            return
        for one in [name for name in self.state.variables if name.isdigit() or name in ("@", "*")]:
            del self.state.variables[one]

    def _fields(self, text: str, most: int) -> list[str]:
        """A line as `read` parts it among so many names: the last one gets all that is left."""
        given = self.state.variables.get("IFS")
        separators = self.separators if self.separators is not None else given[0] if given is not None else None
        if most < 2 or separators == "":
            return [text]
        if separators is None:
            return text.split(None, most - 1)
        if UNKNOWN in separators:
            return [UNKNOWN] * min(most, 9)
        return re.split(f"[{re.escape(separators)}]", text, maxsplit=most - 1)

    def _saved(self, given: Arguments, feed: Flow) -> None:
        for word in given.positionals:
            self.state.files[word.text] = feed
            self.written(word, feed)

    def _copied(self, given: Arguments) -> None:
        """Files that another host gave are as unread as any download; those that it is given leave this machine."""
        *sources, last = given.positionals
        if "remote" in paths.classes(last.text):
            self.effect("<send>", [word for word in sources if "remote" not in paths.classes(word.text)])
            return
        for word in sources:
            if "remote" in paths.classes(word.text):
                leaf = word.text.rpartition(":")[2].rpartition("/")[2]
                fetched = Flow(None, frozenset({"fetch"}))
                self.state.files[leaf if last.text in (".", "./") else last.text] = fetched

    def _input(self, given: Arguments, feed: Flow | None) -> str | None:
        for word in given.positionals:
            known = self.state.files.get(word.text)
            if known is not None:
                return known.text
        return feed.text if feed is not None else None
