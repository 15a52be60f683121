"""Code that a command runs: a shell's or an interpreter's text, what flows into one, files written and then run."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from guardhouse.guardrails import code as codes
from guardhouse.guardrails.blanks import squeezed
from guardhouse.guardrails.bringing import Bringer
from guardhouse.guardrails.budget import CODE_LETTERS, PARSE_COST
from guardhouse.guardrails.effects import chosen as _chosen
from guardhouse.guardrails.programs import Arguments, Program, arguments
from guardhouse.guardrails.units import MOST_DEPTH, NOTHING, SOMETHING, Flow
from guardhouse.guardrails.words import UNKNOWN, Word

_SHELL = r"(?:ba|z|fi|da|k|elvi|tc|c)?sh|bash|zsh|fish|pwsh|powershell|nu|xonsh|elvish|posix|\$SHELL|\$0"
_PRINTS_SHELL = re.compile(
    rf"""(?:
      ssh-agent(?:\ -[sck]|\ -t\ \w+)*
    | (?:direnv|starship|zoxide|atuin|oh-my-posh|hook|mcfly|navi)\ (?:hook|init|widget)\ (?:{_SHELL})(?:\ --[\w-]+(?:[ =][\w.-]+)?)*
    | direnv\ export\ (?:{_SHELL}|json) | starship\ init\ (?:{_SHELL})\ --print-full-init
    | brew\ shellenv(?:\ (?:{_SHELL}))?
    | (?:py|rb|nod|go|j|pl|php|tf|sw)env\ (?:virtualenv-)?init(?:\ -|\ --path|\ --no-rehash|\ (?:{_SHELL}))*
    | (?:fnm|volta)\ env(?:\ --[\w-]+(?:[ =][\w.-]+)?)*
    | (?:mise|rtx)\ (?:activate|env|hook-env)(?:\ (?:{_SHELL})|\ --[\w-]+|\ -[sq])*
    | opam\ (?:config\ )?env(?:\ --[\w-]+(?:=[\w.-]+)?)*
    | (?:conda|mamba)\ shell\.\w+\ hook | (?:conda|mamba|micromamba)\ shell\ hook(?:\ (?:-s|--shell)[ =]?(?:{_SHELL}))?
    | g?dircolors(?:\ -[bc]|\ --sh|\ --[bc]ourne-shell)*(?:\ [~$]?[\w./-]*dir_?colors)?
    | lesspipe(?:\.sh)? | resize | path_helper\ -s | dbus-launch\ --sh-syntax | keychain(?:\ --eval|\ --quiet|\ -q|\ --agents\ \w+|\ id_\w+)*
    | luarocks\ path(?:\ --bin)? | (?:minikube(?:\ -p\ \w+)?\ docker-env|docker-machine\ env)(?:\ [\w-]+)*
    | fzf\ --(?:bash|zsh) | thefuck\ --alias(?:\ \w+)? | hub\ alias\ -s | register-python-argcomplete(?:3)?\ [\w.-]+
    | (?:kubectl|helm|gh|npm|pip3?|rustup|docker|minikube|kind|k3d|argocd|flux|deno|poetry|uv|uvx|glab|just|op|pnpm|oc|eksctl|istioctl|cilium|k9s|stern|task|hugo|podman|rclone)
      \ (?:completions?|generate-shell-completion)(?:\ -s|\ --shell)?\ -{{0,2}}(?:{_SHELL})(?:\ cargo|\ rustup)?
    | aws\ configure\ export-credentials(?:\ --profile\ [\w-]+)?\ --format\ env | devbox\ (?:global\ )?shellenv | poetry\ env\ activate
    | guix\ package\ --search-paths(?:=\w+)? | perl\ -Mlocal::lib
    )(?:\ 2>\ ?/dev/null)?""",
    re.X,
)
"""What prints shell code for the shell that reads it, by its own contract and none of an argument's making."""
_SCRIPTS = ("-f", "--file", "-i", "--input-file")
"""Options of database clients that name a file of statements."""
_PLACED = r"(?:SHELL=\S+ )?(?:(?:/(?!tmp|var|dev)|~/|\$\{?\w+\}?/)\S*/)?"
_ONE_SUBSTITUTION = re.compile(
    rf"""("?)(?:\$\(\s*{_PLACED}([^()`;|&<]*?(?:2>\s?/dev/null)?)\s*\)|`\s*{_PLACED}([^()`;|&<]*?)\s*`)\1"""
)


_ESCAPES = frozenset(
    [
        "awk",
        "gawk",
        "mawk",
        "vim",
        "vi",
        "nvim",
        "ed",
        "man",
        "less",
        "more",
        "tar",
        "zip",
        "rsync",
        "git",
        "strace",
        "gdb",
        "make",
        "ssh",
        "scp",
        "nmap",
        "coproc",
    ]
)
"""Programs that are no shells and no terminals, and yet can start one."""
_TAKES = Program(values=frozenset(["-s", "--setup", "-n", "-r", "-u", "-o", "-m", "-c"]))
_MODULES = {
    "timeit": _TAKES,
    **dict.fromkeys(("code", "trace", "pdb", "cProfile", "profile", "idlelib", "asyncio"), _TAKES),
}
_UNKNOWNS = re.compile(f"{UNKNOWN}+")
_INPUTS = frozenset(["-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"])
_RAISES = frozenset(["sudo", "doas", "pkexec"])


def _module(rest: list[Word]) -> list[Word]:
    """The module that `python -m` runs and its arguments: they mean what the command of that name means."""
    for at, word in enumerate(rest):
        text = word.text
        if text[:1] == "-" and text[:2] != "--" and "m" in text:
            name = text[text.index("m") + 1 :]
            if name:
                return [Word(name, word.start, word.end, word.kinds), *rest[at + 1 :]]
            return rest[at + 1 :]
    return []


class Coder(Bringer):
    """A reader that follows code into further texts."""

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

    def written(self, target: Word, flow: Flow) -> None:
        """What goes into a process substitution that is a shell is run."""
        if "process" in target.kinds and flow.text is not None:
            self._feed_code(flow, target.start, target.end, "shell")
        text = target.text
        if re.match(r"/dev/(?:tcp|udp)/", text) and flow.kinds & {"secret", "env", "secretvar"}:
            self.event("exfil", target.start, target.end)

    def _interpreter(
        self, name: str, program: Program, rest: list[Word], feed: Flow | None, start: int, end: int
    ) -> Flow:
        given = arguments(rest, program, stop=program.lang != "sql")
        lang = program.lang
        self.hooks(name, program, given)
        names = {option for option, _ in given.options}
        if program.run == "shell" and "-n" in names and "+n" not in names:
            # A shell that only checks the syntax runs nothing.
            return SOMETHING
        literal = given.value(program.code)
        if lang == "python" and next((one for one in given.options if one[0] in ("-m", "-c")), ("",))[0] == "-m":
            literal = []  # what stands behind a module is for the module
        if not literal and lang == "shell":
            # `-c` may stand in a cluster (`-xec`) and its text after further options.
            dashes = [w for w in rest if w.text.startswith("-") and not w.text.startswith("--")]
            if any("c" in word.text[1:] for word in dashes) and given.positionals:
                literal = [given.positionals[0]]
        if literal:
            flow = SOMETHING
            if lang in ("awk", "sed") or (lang in ("perl", "ruby") and names & {"-n", "-p"}):
                self.effect("<read>", list(given.positionals))
            for word in literal:
                keep = self.state.variables
                self.state.variables = dict(keep)
                if program.run == "shell":
                    tail = [one for one in given.positionals if one is not word]
                    if tail:
                        self.positionals(tail, 0)
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
        script = given.positionals[0] if given.positionals and "-s" not in names else None
        if lang == "python" and "-m" in names:
            module = _module(rest)
            if module and module[0].text in _MODULES:
                return self._module_code(name, module, feed, start, end)
            return self._within(f"{name} -m", self.command, module, feed, start, end) if module else SOMETHING
        if lang == "sql":
            for word in _chosen(given.positionals, program.queries):
                self._code(word, "sql", start, end)
            for word in given.value(_SCRIPTS):
                self._run_script(word, "sql", start, end)
            if feed is not None:
                self._within(name, self._feed_code, feed, start, end, "sql")
            return SOMETHING
        if program.run == "shell" and lang == "powershell" and any(one.lower().startswith("-e") for one in names):
            self.event("decoded", start, end)
        if lang == "powershell" and script is not None and self._commands(name, script, given):
            text = " ".join(word.text for word in given.positionals)
            return self._within(name, self._code, Word(text, script.start, script.end), lang, start, end)
        if program.sub and script is not None and script.text in program.sub and len(given.positionals) > 1:
            self._within(name, self._code, given.positionals[1], lang, start, end, feed)
            return SOMETHING
        if script is not None and script.text not in ("-", "/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"):
            if lang in ("awk", "sed") and given.value(("-f", "--file")):
                self.effect("<read>", list(given.positionals))
                for word in given.value(("-f", "--file")):
                    self._run_script(word, lang, start, end)
                return Flow(None, feed.kinds if feed else NOTHING)
            if lang in ("awk", "sed"):
                self._within(name, self._code, script, lang, start, end, feed)
                for word in given.value(("-v", "--assign")):
                    key, _, value = word.text.partition("=")
                    if re.search(
                        rf"system\s*\(\s*{re.escape(key)}\b|\b{re.escape(key)}\s*\|\s*getline|\|\s*{re.escape(key)}\b",
                        script.text,
                    ):
                        self._within(f"{name} -v", self.run_text, value, start, end)
                self._touches(program, arguments(rest, program), rest)
                return Flow(None, feed.kinds if feed else NOTHING)
            self._run_script(script, lang, start, end)
            return SOMETHING
        if feed is not None:
            self._within(name, self._feed_code, feed, start, end, lang)
            if program.run == "shell" and feed.text is None:
                return Flow(None, frozenset({"shellout"}))
        elif program.run == "shell" and self.via and not names & {"--version", "--help", "-h"}:
            # A shell for a person, out of a program that is none: the way out of a restricted one.
            last = self.via[-1].split(" ", 1)[0]
            if last in _ESCAPES or self.spec(last).run in ("code", "find") or any(one in _RAISES for one in self.via):
                self.event("escape", start, end)
        return SOMETHING

    def _module_code(self, name: str, module: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        """`python -m timeit CODE` and its like, and those that read code from their input."""
        given = arguments(module[1:], _MODULES[module[0].text])
        if module[0].text == "timeit":
            for word in (*given.value(("-s", "--setup")), *given.positionals):
                self._within(f"{name} -m timeit", self._code, word, "python", start, end)
        elif given.positionals and given.positionals[0].text not in _INPUTS:
            self._run_script(given.positionals[0], "python", start, end)
        elif feed is not None:
            self._within(f"{name} -m {module[0].text}", self._feed_code, feed, start, end, "python")
        return SOMETHING

    @staticmethod
    def _commands(name: str, script: Word, given: Arguments) -> bool:
        """Whether PowerShell takes what stands alone for a command: the older one always, but for the name of a script."""
        if any(option.lower() == "-file" for option, _ in given.options) or script.text.lower().endswith(".ps1"):
            return False
        return name == "powershell" or any(mark in script.text for mark in " |;")

    def hooks(self, name: str, program: Program, given: Arguments) -> None:
        """Options whose value is code; nothing to do here."""

    def lines(self, text: str, lang: str, start: int, end: int) -> bool:
        """Code of a language whose lines hold commands; none here."""
        del text, lang, start, end
        return False

    def _run_script(self, script: Word, lang: str, start: int, end: int) -> None:
        known = self.known(script.text)
        if known is not None:
            self._feed_code(known, start, end, lang)
        elif "fetch" in script.kinds:
            self.event("fetched", start, end)

    def _run_file(self, name: str, start: int, end: int) -> None:
        known = self.known(name)
        if known is not None:
            self._within(name, self._feed_code, known, start, end, "shell")

    def _feed_code(self, feed: Flow, start: int, end: int, lang: str) -> None:
        """What flows in is run."""
        at, to = self.place(feed.text, start, end) if feed.text else (start, end)
        if feed.text is not None and UNKNOWN not in feed.text:
            if "decode" in feed.kinds and lang != "sql":
                self.event("decoded", start, end)
            if feed.text.strip():
                self._code(Word(feed.text, at, to, feed.kinds), lang, start, end)
            return
        if lang == "sql":
            if feed.text is not None:
                self._code(Word(feed.text, at, to), lang, start, end)
            return
        if "fetch" in feed.kinds:
            self.event("fetched", start, end)
        elif "decode" in feed.kinds:
            self.event("decoded", start, end)
        elif "unpacked" in feed.kinds or ("cloned" in feed.kinds and self.raised()):
            self.event("unpacked", start, end)
        elif feed.text is not None:
            self._code(Word(feed.text, at, to, feed.kinds), lang, start, end)
            self.event("stdin", start, end)
        elif feed.kinds.isdisjoint(("process", "cloned")):
            self.event("stdin", start, end)

    def _code(self, word: Word, lang: str, start: int, end: int, feed: Flow | None = None) -> Flow:
        """A word that is run as code of this language."""
        if UNKNOWN + UNKNOWN in word.text:  # several unknown parts in a row say no more than one
            word = Word(_UNKNOWNS.sub(UNKNOWN, word.text), word.start, word.end, word.kinds)
        if lang != "shell":
            self.take(PARSE_COST + len(word.text) // CODE_LETTERS)
            word = Word(squeezed(word.text), word.start, word.end, word.kinds)
        at, to = (word.start, word.end) if word.end > word.start else (start, end)
        if lang not in ("sql", "shell") and self.lines(word.text, lang, at, to):
            self.codes.append((word.text, at, to, self.via))
            return SOMETHING
        if lang == "sql":
            self.sqls.append((word.text.replace(UNKNOWN, "x"), at, to, self.via))
            for line in re.finditer(r"(?:\\!|^[^\S\n]*+(?:system|\.shell|\.system|!)\s)\s*+(.+)", word.text, re.M):
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
            self.too_much(at, to)
        self.codes.append((word.text, at, to, self.via))
        if lang == "sed":
            if re.search(
                r"(?:^|[;{}\n])[^\S\n]*+(?:\d++|\$|/[^/]*+/)?+[^\S\n]*+e\s+\S|/[gIip\d]*+e[gIip\d]*+(?:;|$)", word.text
            ):
                for match in re.finditer(
                    r"(?:^|[;{}\n])[^\S\n]*+\d*+e\s++([^;}]+)|s(.)(?:\\.|\[[^\]\n]{0,60}+\]|(?!\2)[^\\\n]){0,500}+\2((?:\\.|(?!\2)[^\\\n]){0,500}+)\2\w*e",
                    word.text,
                ):
                    self.run_text(match[1] or match[3] or "", at, to)
            for operator, path in codes.sed_files(word.text):
                self.effect(operator, [Word(path, at, to)])
            return SOMETHING
        for query in codes.queries(word.text, lang):
            self.take(PARSE_COST)
            self.sqls.append((query, at, to, self.via))
        made, events = codes.as_shell(word.text, lang)
        for name in events:
            if name == "size":
                self.too_much(at, to)
            else:
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
        if UNKNOWN in text and not kinds & {"fetch", "decode"} and _prints_shell(source):
            return SOMETHING
        return self._within(name, self._code, Word(text, rest[0].start, rest[-1].end, kinds), "shell", start, end, feed)

    def _source(self, rest: list[Word], feed: Flow | None, start: int, end: int) -> Flow:
        if not rest:
            return SOMETHING
        script = rest[0]
        if script.text in _INPUTS and feed is not None:
            self._within("source", self._feed_code, feed, start, end, "shell")
        else:
            source = self.source[script.start : script.end] if script.end > script.start else ""
            if not (
                source.startswith("<(") and not script.kinds & {"fetch", "decode"} and _prints_shell(f"${source[1:]}")
            ):
                self._within("source", self._run_script, script, "shell", start, end)
        return SOMETHING


def _prints_shell(source: str) -> bool:
    """Whether this is one substitution, and nothing else, of a command that prints shell code by its contract."""
    match = _ONE_SUBSTITUTION.fullmatch(source.strip())
    if match is None:
        return False
    told = " ".join((match[2] or match[3] or "").replace('"', "").replace("'", "").split())
    return _PRINTS_SHELL.fullmatch(told) is not None
