"""What each command does: wrappers opened, code read, paths touched, flows followed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

from guardhouse.guardrails import code as codes
from guardhouse.guardrails import paths
from guardhouse.guardrails.decode import DECODERS, decoded, printed
from guardhouse.guardrails.programs import UNSPECIFIED, Arguments, Program, arguments
from guardhouse.guardrails.reading import MOST_DEPTH, NOTHING, SOMETHING, Flow, Reader, Spent, base_name
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
_ASSIGN = re.compile(r"[A-Za-z_]\w*\+?=", re.S)
_BENIGN_EVAL = re.compile(
    r"(?:ssh-agent|direnv|starship|brew|pyenv|rbenv|nodenv|goenv|jenv|zoxide|fnm|mise|rtx|asdf|opam|conda|micromamba|dircolors|lesspipe|keychain|gh|kubectl|helm|docker-machine|minikube|fzf|thefuck|register-python-argcomplete|luarocks|atuin|navi|perl|resize|hub|tmuxinator|poetry|pip|npm|rustup|guix|nix)"
)
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
_NUMBER = re.compile(r"[\d.]+[smhd]?")
SENSITIVE = frozenset({"credential", "account", "memory"})


class Runner(Reader):
    """A reader that knows programs."""

    workspace = ""

    # -- effects -----------------------------------------------------------------------------------------------------

    def effect(self, operator: str, targets: list[Word]) -> frozenset[str]:
        """Note that paths are read, written, deleted or sent; what flows out of them."""
        kinds: set[str] = set()
        for word in targets:
            if not word.text or word.text == "-":
                continue
            self.unit(operator, [word], word.start, word.end, None)
            if operator in ("<read>", "<send>"):
                found = paths.classes(word.text, self.state.cwd, self.workspace)
                if found & SENSITIVE:
                    kinds.add("secret")
                if "glob" in found or "dynamic" in found:
                    kinds.add("file")
                kinds |= word.kinds & {"secret"}
        return frozenset(kinds)

    def written(self, target: Word, flow: Flow) -> None:
        """What goes into a process substitution that is a shell is run."""
        if "process" in target.kinds and flow.text is not None:
            self._feed_code(flow, target.start, target.end, "shell")
        text = target.text
        if re.match(r"/dev/(?:tcp|udp)/", text) and flow.kinds & {"secret", "env", "secretvar"}:
            self.event("exfil", target.start, target.end)

    # -- commands ----------------------------------------------------------------------------------------------------

    def command(self, args: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        """One simple command with its words known as far as they can be."""
        self.nodes -= 1 + len(args)
        if self.nodes < 0:
            raise Spent
        while args and _ASSIGN.match(args[0].text) and UNKNOWN not in args[0].text.partition("=")[0]:
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
        if head.text in self.state.files or head.text.removeprefix("./") in self.state.files:
            self._run_file(head.text, start, end)
        program: Program = self.spec(name)
        rest = args[1:]
        self.unit(name, _without_clauses(rest) if program.run == "find" else rest, start, end, feed)
        if program.run:
            return self._wrapped(name, program, rest, feed, start, end)
        return self._plain(name, program, rest, feed, start, end)

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

    def _plain(self, name: str, program: Program, rest: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        """A program that runs nothing of what it is given."""
        given = arguments(rest, program)
        helps = any(word.text in ("--help", "--version") for word in rest)
        kinds = set().union(*(word.kinds for word in rest)) if rest else set()
        if not helps:
            kinds |= self._touches(program, given, rest)
        if name in ("echo", "printf"):
            if name == "printf" and given.positionals and rest[0].text == "-v" and len(rest) > 2:
                made = printed("printf", [word.text for word in rest[2:]])
                self.state.variables[rest[1].text] = (UNKNOWN if made is None else made, NOTHING)
                return Flow("")
            return Flow(printed(name, [word.text for word in rest]), frozenset(kinds))
        if name == "cd" or name == "pushd":
            target = given.positionals[0].text if given.positionals else "~"
            self.state.cwd = paths.resolve(target, self.state.cwd)
            return Flow("")
        if name == "alias":
            for word in rest:
                key, equals, value = word.text.partition("=")
                if equals and UNKNOWN not in value and len(self.state.aliases) < 32:
                    self.state.aliases[key] = value
            return Flow("")
        if name == "set":
            for number, word in enumerate(given.positionals[:9], 1):
                self.state.variables[str(number)] = (word.text, word.kinds)
            joined = " ".join(word.text for word in given.positionals)
            if joined:
                self.state.variables["@"] = self.state.variables["*"] = (joined, NOTHING)
            return Flow("")
        if name in ("read", "mapfile", "readarray"):
            taint = feed.kinds if feed else NOTHING
            for word in given.positionals[-8:]:
                known = (
                    feed.text.rstrip("\n")
                    if feed and feed.text is not None and len(given.positionals) == 1
                    else UNKNOWN
                )
                self.state.variables[word.text] = (known, taint)
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
        if name == "which" or (name == "command" and rest and rest[0].text in ("-v", "-V")):
            return Flow(base_name(given.positionals[-1].text) if given.positionals else None)
        if feed is not None:
            kinds |= feed.kinds
        if name in DECODERS:
            made = decoded(name, [word.text for word in rest], self._input(given, feed))
            if made is not None:
                return Flow(made, frozenset(kinds | ({"decode"} if name not in ("tr", "gzip") else set())))
            if name not in ("tr", "rev", "gzip", "openssl", "xz", "base64", "base32", "xxd") or any(
                word.text.startswith(("-d", "-D", "--d", "-r", "-p", "-c")) or word.text in ("enc", "-di")
                for word in rest
            ):
                kinds.add("decode")
        if program.sink and not helps:
            self._sinks(name, program, rest, feed, start, end, kinds)
        if (
            name in ("sqlite3", "sqlite", "duckdb", "bq", "surreal", "beeline", "isql", "athena")
            and len(given.positionals) > 1
        ):
            for word in given.positionals[1:]:
                self._code(word, "sql", start, end)
        if program.flow == "env":
            if not given.positionals or name in ("printenv", "history"):
                kinds.add("env")
        elif program.flow == "same":
            if feed is not None and feed.text is not None and not given.positionals:
                return Flow(feed.text, frozenset(kinds))
            if program.reads and len(given.positionals) == 1:
                kept = self.state.files.get(given.positionals[0].text)
                if kept is not None:
                    return Flow(kept.text, kept.kinds | kinds)
        elif program.flow:
            kinds.add(program.flow)
        if program.write_flags and program.flow == "fetch":
            saved = given.value(program.write_flags)
            if saved:
                self.state.files[saved[0].text] = Flow(None, frozenset({"fetch"}))
            elif name == "wget" or any(option == "-O" for option, _ in given.options):
                for word in given.positionals:
                    self.state.files[word.text.rpartition("/")[2]] = Flow(None, frozenset({"fetch"}))
        if name == "tee" and feed is not None:
            for word in given.positionals:
                self.state.files[word.text] = feed
                self.written(word, feed)
        if name in ("cp", "mv", "ln", "install") and len(given.positionals) == 2:
            copied = self.state.files.get(given.positionals[0].text)
            if copied is not None:
                self.state.files[given.positionals[1].text] = copied
        if program.stdin and feed is not None and not given.positionals:
            self._feed_code(feed, start, end, program.stdin)
        self._unknown_wrapper(name, program, rest, start, end)
        return Flow(None, frozenset(kinds))

    def _input(self, given: Arguments, feed: Flow | None) -> str | None:
        for word in given.positionals:
            known = self.state.files.get(word.text)
            if known is not None:
                return known.text
        return feed.text if feed is not None else None

    def _touches(self, program: Program, given: Arguments, rest: list[Word]) -> frozenset[str]:
        kinds: set[str] = set()
        for operator, way, flags in (
            ("<read>", program.reads, program.read_flags),
            ("<write>", program.writes, program.write_flags),
            ("<delete>", program.deletes, ()),
            ("<send>", "", program.send_flags),
        ):
            touched = _chosen(given.positionals, way)
            if flags:
                for word in given.value(flags):
                    text = word.text
                    if operator == "<send>":
                        if program.sink and "@" in text:
                            text = text.rpartition("@")[2].partition(";")[0]
                        elif "=" in text and "<" in text:
                            text = text.rpartition("<")[2]
                        elif not any(
                            name in ("-T", "--upload-file", "--post-file", "--body-file")
                            for name, value in given.options
                            if value is word
                        ):
                            continue
                    touched.append(Word(text, word.start, word.end, word.kinds))
                for word in rest:
                    key, equals, value = word.text.partition("=")
                    if equals and key in flags and not key.startswith("-"):
                        touched.append(Word(value, word.start, word.end))
            if touched:
                kinds |= self.effect(operator, touched)
        return frozenset(kinds)

    def _sinks(
        self,
        name: str,
        program: Program,
        rest: list[Word],
        feed: Flow | None,
        start: int,
        end: int,
        touched: set[str] | None = None,
    ) -> None:
        carried: set[str] = set(touched or ())
        for word in rest:
            carried |= word.kinds
        if feed is not None and (
            program.stdin
            or any(word.text in ("-", "@-", "-F-") or word.text.endswith("@-") for word in rest)
            or name
            in (
                "nc",
                "ncat",
                "netcat",
                "socat",
                "telnet",
                "mail",
                "mailx",
                "sendmail",
                "rclone",
                "aws",
                "gsutil",
                "ssh",
            )
        ):
            carried |= feed.kinds
        if carried & {"secret", "env"}:
            self.event("exfil", start, end, name)
        elif "secretvar" in carried and not self._authorises(rest):
            self.event("exfil.variable", start, end, name)

    @staticmethod
    def _authorises(rest: list[Word]) -> bool:
        """Whether the secret stands where a request's own authorisation belongs."""
        for before, word in zip([Word(""), *rest[:-1]], rest, strict=True):
            if (
                "secretvar" in word.kinds
                and before.text
                not in ("-H", "--header", "-u", "--user", "--token", "-t", "--password", "--oauth2-bearer")
                and not word.text.lower().startswith(("authorization", "x-api-key", "-h", "--token", "--password"))
            ):
                return False
        return True

    def _unknown_wrapper(self, name: str, program: Program, rest: list[Word], start: int, end: int) -> None:
        if program is not UNSPECIFIED or self.trial or len(rest) < 2 or name.startswith("<"):
            return
        for at, word in enumerate(rest[:6]):
            if word.text in _RISKY and at + 1 < len(rest) and self.depth < MOST_DEPTH:
                self.trial = True
                try:
                    self._within(name, self.command, rest[at:], None, start, end)
                finally:
                    self.trial = False
                return

    # -- wrappers ----------------------------------------------------------------------------------------------------

    def _within(self, name: str, what: Callable[..., Flow | None], *args: Any) -> Flow:
        saved = self.via
        if len(saved) >= MOST_DEPTH:
            self.event("depth", 0, len(self.source))
            return SOMETHING
        self.via = (*saved, name)
        try:
            return what(*args) or SOMETHING
        finally:
            self.via = saved

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
        given = arguments(rest, program, stop=True)
        for word in given.value(program.code):
            self._within(name, self._code, word, program.lang, start, end, feed)
        inner = list(given.positionals)
        if program.sub:
            if not inner or inner[0].text not in program.sub:
                kinds = self._touches(program, arguments(rest, program), rest)
                if program.sink:
                    self._sinks(name, program, rest, feed, start, end)
                flow = {program.flow} if program.flow else set()
                return Flow(None, frozenset(kinds | flow))
            given = arguments(inner[1:], program, stop=True)
            inner = list(given.positionals)
        if program.assigns:
            while inner and _ASSIGN.match(inner[0].text):
                self.effect("<assign>", [inner[0]])
                inner = inner[1:]
        inner = inner[program.skip :]
        if inner and inner[0].text == "--":
            inner = inner[1:]
        if program.sink:
            self._sinks(name, program, rest, feed, start, end)
        if not inner:
            carried = set(feed.kinds) if feed is not None else set()
            if way == "xargs" and feed is None:
                return SOMETHING
            if program.flow:
                carried.add(program.flow)
            if program.stdin and feed is not None:
                self._feed_code(feed, start, end, program.stdin)
            return Flow(None, frozenset(carried))
        if way == "join":
            return self._within(name, self._joined_code, inner, feed, start, end)
        if way == "xargs":
            return self._within(name, self._xargs, name, given, inner, feed, start, end)
        return self._within(name, self.command, inner, feed, start, end)

    def _joined_code(self, inner: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        if not inner:
            return SOMETHING
        if len(inner) > 1 and not any(mark in word.text for word in inner for mark in ";|&<>$`"):
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
                return self._joined_code(added, None, start, end)
        elif feed is not None and feed.text is not None and UNKNOWN not in feed.text and len(feed.text) < 2000:
            if marks or (
                base_name(inner[0].text) in _SHELLS and inner[-1].text.endswith("c") and inner[-1].text.startswith("-")
            ):
                added = [Word(feed.text.strip(), start, end, feed.kinds)]
            else:
                added = [Word(one, start, end, feed.kinds) for one in re.split(r"[\s\0]+", feed.text) if one][:64]
        else:
            added = [Word(UNKNOWN, start, end, (feed.kinds if feed else NOTHING) | {"piped"})]
        if not inner:
            return SOMETHING
        if marks and any(mark in word.text for word in inner for mark in marks):
            made = []
            for word in inner:
                for mark in marks:
                    if mark in word.text and added:
                        word = Word(
                            word.text.replace(mark, added[0].text), word.start, word.end, word.kinds | added[0].kinds
                        )
                made.append(word)
            inner = made
        else:
            inner = inner + added
        if len(inner) == 1 or (" " in inner[0].text and name == "parallel"):
            return self._code(inner[0], "shell", start, end)
        if base_name(inner[0].text) in _SHELLS and not any(
            word.text.startswith("-") and "c" in word.text for word in inner[1:2]
        ):
            if feed is not None and "fetch" in feed.kinds:
                self.event("fetched", start, end)
        elif inner[-1].dynamic and base_name(inner[0].text) in _SHELLS and inner[-2].text.endswith("c"):
            self.event("fetched" if feed is not None and "fetch" in feed.kinds else "code", start, end)
        return self.command(inner, None, start, end)

    def _find(self, name: str, rest: list[Word], start: int, end: int) -> Flow:
        self.nodes -= len(rest)
        clauses = ("-exec", "-execdir", "-ok", "-okdir") if name == "find" else ("-x", "--exec", "-X", "--exec-batch")
        first = next(
            (
                at
                for at, word in enumerate(rest)
                if word.text[:1] in "-(!" and word.text not in ("-L", "-P", "-H", "-E", "-x", "-X")
            ),
            len(rest),
        )
        if name == "find" and rest and rest[0].text == "-D":
            return self._find(name, rest[2:], start, end)
        given = [word for word in rest[:first] if not word.text.startswith("-")]
        roots = given if name == "find" else given[1:] or []
        roots = roots or [Word(".", start, end)]
        texts = [word.text for word in rest]
        narrowed = (
            any(
                text
                in (
                    "-name",
                    "-iname",
                    "-path",
                    "-ipath",
                    "-regex",
                    "-wholename",
                    "-newer",
                    "-mtime",
                    "-mmin",
                    "-size",
                    "-empty",
                    "-user",
                    "-inum",
                    "-atime",
                    "-ctime",
                    "-cmin",
                    "-amin",
                    "-maxdepth",
                    "-type",
                )
                for text in texts
            )
            or name != "find"
        )
        sensitive = any(paths.classes(text, "", "") & SENSITIVE for text in texts[first:]) or any(
            text in (".env", "*.pem", "*.key", "id_rsa", "id_rsa*", "id_*") for text in texts
        )
        at = 0
        while at < len(rest):
            if texts[at] in clauses:
                stop = next((n for n in range(at + 1, len(rest)) if texts[n] in (";", "+", "\\;")), len(rest))
                inner = rest[at + 1 : stop]
                at = stop
                if not inner:
                    continue
                for root in roots[:4]:
                    whole = not narrowed and any(re.match(r"-\w*[rR]|--rec", word.text) for word in inner)
                    target = root.text if whole or root.text == "/" else f"{root.text.rstrip('/')}/{{}}"
                    made = [
                        Word(
                            word.text.replace("{}", target),
                            word.start,
                            word.end,
                            word.kinds | (frozenset({"secret"}) if sensitive and "{}" in word.text else NOTHING),
                        )
                        for word in inner
                    ]
                    if name != "find" and not any("{}" in word.text for word in inner):
                        made.append(Word(target, start, end))
                    self._within(
                        f"{name} {texts[at - len(inner) - 1] if at - len(inner) - 1 >= 0 else '-exec'}",
                        self.command,
                        made,
                        None,
                        start,
                        end,
                    )
                    if sensitive and made and base_name(made[0].text) in ("cat", "cp", "tar", "base64", "curl"):
                        self.event("secret.read", start, end)
            at += 1
        return Flow(None, frozenset({"secret"}) if sensitive and "-exec" in texts else NOTHING)

    # -- code --------------------------------------------------------------------------------------------------------

    def _interpreter(
        self, name: str, program: Program, rest: list[Word], feed: Flow | None, start: int, end: int
    ) -> Flow:
        given = arguments(rest, program, stop=True)
        lang = program.lang
        literal = given.value(program.code)
        if not literal and program.run == "shell":
            # `-c` may stand in a cluster (`-xec`) and its text after further options.
            dashes = [w for w in rest if w.text.startswith("-") and not w.text.startswith("--")]
            if any("c" in word.text[1:] for word in dashes[:4]) and given.positionals:
                literal = [given.positionals[0]]
        if literal:
            flow = SOMETHING
            for word in literal:
                keep = dict(self.state.variables)
                if program.run == "shell":
                    tail = list(given.positionals)
                    for number, one in enumerate([w for w in tail if w is not word][:9]):
                        self.state.variables[str(number)] = (one.text, one.kinds)
                flow = self._within(
                    f"{name} {program.code[0] if program.code else '-c'}",
                    self._code,
                    word,
                    lang,
                    start,
                    end,
                    feed,
                )
                self.state.variables = keep
            return flow
        script = given.positionals[0] if given.positionals else None
        if program.sub and script is not None and script.text in program.sub and len(given.positionals) > 1:
            self._within(name, self._code, given.positionals[1], lang, start, end, feed)
            return SOMETHING
        if script is not None and script.text not in ("-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"):
            if lang in ("awk", "sed"):
                self._within(name, self._code, script, lang, start, end, feed)
                self._touches(program, arguments(rest, program), rest)
                return Flow(None, feed.kinds if feed else NOTHING)
            if not any(option in ("-m", "--module") for option, _ in given.options):
                self._run_script(script, lang, start, end)
            return SOMETHING
        if feed is not None and not any(option == "-m" for option, _ in given.options):
            self._within(name, self._feed_code, feed, start, end, lang)
        return SOMETHING

    def _run_script(self, script: Word, lang: str, start: int, end: int) -> None:
        known = self.state.files.get(script.text) or self.state.files.get(script.text.removeprefix("./"))
        if known is not None:
            self._feed_code(known, start, end, lang)
        elif "fetch" in script.kinds:
            self.event("fetched", start, end)

    def _run_file(self, name: str, start: int, end: int) -> None:
        known = self.state.files.get(name) or self.state.files.get(name.removeprefix("./"))
        if known is not None:
            self._within(name, self._feed_code, known, start, end, "shell")

    def _feed_code(self, feed: Flow, start: int, end: int, lang: str) -> None:
        """What flows in is run."""
        if feed.text is not None and UNKNOWN not in feed.text:
            if "decode" in feed.kinds and lang != "sql":
                self.event("decoded", start, end)
            if feed.text.strip():
                self._code(Word(feed.text, start, end, feed.kinds), lang, start, end)
            return
        if lang == "sql":
            if feed.text is not None:
                self._code(Word(feed.text, start, end), lang, start, end)
            return
        if "fetch" in feed.kinds:
            self.event("fetched", start, end)
        elif "decode" in feed.kinds:
            self.event("decoded", start, end)
        elif feed.text is not None:
            self._code(Word(feed.text, start, end, feed.kinds), lang, start, end)
            self.event("stdin", start, end)
        elif "process" not in feed.kinds:
            self.event("stdin", start, end)

    def _code(self, word: Word, lang: str, start: int, end: int, feed: Flow | None = None) -> Flow:
        """A word that is run as code of this language."""
        at, to = (word.start, word.end) if word.end > word.start else (start, end)
        if lang == "sql":
            self.sqls.append((word.text.replace(UNKNOWN, "x"), at, to, self.via))
            for line in re.finditer(r"(?:\\!|^\s*(?:system|\.shell|\.system|!)\s)\s*(.+)", word.text, re.M):
                self._within("client escape", self.run_text, line[1], at, to)
            if re.search(r"\\copy\b.*\bprogram\b|\|\s*['\"]?(?:ba)?sh", word.text, re.I):
                self.event("sql.program", at, to)
            return SOMETHING
        if lang in ("shell",):
            if UNKNOWN in word.text:
                stripped = word.text.replace(UNKNOWN, "").strip()
                if "fetch" in word.kinds:
                    self.event("fetched", at, to)
                    return SOMETHING
                if "decode" in word.kinds:
                    self.event("decoded", at, to)
                    return SOMETHING
                if not stripped or word.text.lstrip().startswith(UNKNOWN):
                    self.event("code", at, to)
                    return SOMETHING
            elif "decode" in word.kinds:
                self.event("decoded", at, to)
            text = word.text.replace(UNKNOWN, "$unknown")
            return self.run_text(text, at, to, feed)
        if UNKNOWN in word.text:
            if "fetch" in word.kinds:
                self.event("fetched", at, to)
            elif "decode" in word.kinds:
                self.event("decoded", at, to)
            elif word.text == UNKNOWN:
                self.event("code", at, to)
        if len(word.text) > codes.MOST_CODE:
            self.event("size", at, to)
        self.codes.append((word.text, at, to, self.via))
        if lang == "sed":
            if re.search(r"(?:^|;|\})\s*(?:\d+|\$|/[^/]*/)?\s*e\s+\S|/[gIip\d]*e[gIip\d]*(?:;|$)", word.text):
                for match in re.finditer(r"(?:^|;)\s*\d*e\s+([^;}]+)|s(.)[^\n]*?\2([^\n]*?)\2\w*e", word.text):
                    self.run_text(match[1] or match[3] or "", at, to)
            return SOMETHING
        made, events = codes.as_shell(word.text, lang)
        for name in events:
            self.event(name, at, to)
        for text in made:
            self.run_text(text.replace(UNKNOWN, "$unknown"), at, to)
        return SOMETHING

    def _eval(self, name: str, rest: list[Word], start: int, end: int, feed: Flow | None) -> Flow:
        if rest and rest[0].text == "--":
            rest = rest[1:]
        if not rest:
            return SOMETHING
        text = " ".join(word.text for word in rest)
        kinds = frozenset().union(*(word.kinds for word in rest))
        source = self.source[rest[0].start : rest[-1].end] if rest[-1].end > rest[0].start else ""
        if (
            UNKNOWN in text
            and re.match(r"""["']?(?:\$\(|`)\s*(?:\S*/)?""" + _BENIGN_EVAL.pattern + r"\s[^;|&]*[)`]", source)
            and not kinds & {"fetch", "decode"}
        ):
            return SOMETHING
        return self._within(name, self._code, Word(text, rest[0].start, rest[-1].end, kinds), "shell", start, end, feed)

    def _source(self, rest: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        if not rest:
            return SOMETHING
        script = rest[0]
        if script.text in ("/dev/stdin", "-") and feed is not None:
            self._within("source", self._feed_code, feed, start, end, "shell")
        else:
            self._within("source", self._run_script, script, "shell", start, end)
        return SOMETHING


def _without_clauses(rest: list[Word]) -> list[Word]:
    """The arguments of `find` without the commands that stand between them."""
    made, inside = [], False
    for word in rest:
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            inside = True
        elif inside and word.text in (";", "+", "\\;"):
            inside = False
        elif not inside:
            made.append(word)
    return made


def _chosen(positionals: tuple[Word, ...], way: str) -> list[Word]:
    if not way or not positionals:
        return []
    if way == "all":
        return list(positionals)
    if way == "first":
        return [positionals[0]]
    if way == "rest":
        return list(positionals[1:])
    if way == "init":
        return list(positionals[:-1])
    return [positionals[-1]] if len(positionals) > 1 else []
